#include "kv/reserve.hh"

#include <fcntl.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

namespace chfs::kv {

namespace {

constexpr uint64_t kStepBytes = 1 << 20;

uint64_t RoundUp(uint64_t bytes) { return (bytes + kStepBytes - 1) / kStepBytes * kStepBytes; }

}  // namespace

void Reserve::SetUsed(uint64_t used_bytes) {
  used_ = used_bytes;
  // What lies below was allocated when it was written, or long before.
  end_ = std::max(end_, used_bytes);
}

bool Reserve::TopUp(uint64_t dirty_bytes) {
  const uint64_t wanted = RoundUp(used_ + dirty_bytes + goal_);
  if (end_ >= wanted) {
    tight_ = false;
    return true;
  }
  int error = Allocate(wanted);
  // On a full disk every single step counts, and the kernel gives all of a range or nothing.
  while (error == -ENOSPC && end_ < wanted && Allocate(std::min(wanted, RoundUp(end_ + 1))) == 0) continue;
  tight_ = end_ < wanted;
  return !tight_;
}

uint64_t Reserve::Available(uint64_t dirty_bytes) const {
  const uint64_t total = end_ - used_ + reusable_;
  return total > dirty_bytes ? total - dirty_bytes : 0;
}

int Reserve::Allocate(uint64_t end) {
  if (fallocate(fd_, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(end_), static_cast<off_t>(end - end_)) == 0) {
    end_ = end;
    return 0;
  }
  if (errno != EOPNOTSUPP) return -errno;
  // A file system that cannot reserve: what it says is free has to serve, at the risk that others take it first.
  struct statvfs figures;
  if (fstatvfs(fd_, &figures) != 0) return -errno;
  if (uint64_t{figures.f_bavail} * figures.f_frsize < end - used_) return -ENOSPC;
  end_ = end;
  return 0;
}

}  // namespace chfs::kv
