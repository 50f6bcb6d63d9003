#include "files/long_call.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <utility>

namespace chfs {

namespace {

constexpr size_t kCopyBufferBytes = 1 << 20;

int64_t OrErrno(int64_t result) { return result < 0 ? -errno : result; }

/// Copies through memory, where the file system cannot copy by itself. Bytes copied, or −errno when there were none.
int64_t CopyThroughMemory(int from, int64_t from_offset, int to, int64_t to_offset, int64_t bytes) {
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kCopyBufferBytes);
  int64_t copied = 0;
  while (copied < bytes) {
    const auto wanted = static_cast<size_t>(std::min<int64_t>(bytes - copied, kCopyBufferBytes));
    const ssize_t read = ::pread(from, buffer.get(), wanted, from_offset + copied);
    if (read < 0 && errno == EINTR) continue;
    if (read < 0) return copied > 0 ? copied : -errno;
    if (read == 0) return copied;
    for (ssize_t written = 0; written < read;) {
      const ssize_t part =
          ::pwrite(to, buffer.get() + written, static_cast<size_t>(read - written), to_offset + copied + written);
      if (part < 0 && errno == EINTR) continue;
      if (part < 0) return copied + written > 0 ? copied + written : -errno;
      written += part;
    }
    copied += read;
  }
  return copied;
}

/// Overlapping ranges of one file are EINVAL, as copy_file_range(2) has it: copied piecewise they would be garbled.
bool Overlaps(int from, int64_t from_offset, int to, int64_t to_offset, int64_t bytes) {
  struct stat source, target;
  if (::fstat(from, &source) != 0 || ::fstat(to, &target) != 0) return false;
  const bool same = source.st_dev == target.st_dev && source.st_ino == target.st_ino;
  return same && from_offset < to_offset + bytes && to_offset < from_offset + bytes;
}

int64_t CopyRange(int from, int64_t from_offset, int to, int64_t to_offset, int64_t bytes) {
  if (Overlaps(from, from_offset, to, to_offset, bytes)) return -EINVAL;
  int64_t copied = 0;
  while (copied < bytes) {
    loff_t in = from_offset + copied;
    loff_t out = to_offset + copied;
    const ssize_t part = ::copy_file_range(from, &in, to, &out, static_cast<size_t>(bytes - copied), 0);
    if (part > 0) {
      copied += part;
      continue;
    }
    if (part == 0) return copied;
    if (errno == EINTR) continue;
    if (copied > 0) return copied;
    const bool unsupported = errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS;
    return unsupported ? CopyThroughMemory(from, from_offset, to, to_offset, bytes) : -errno;
  }
  return copied;
}

int64_t Run(const LongCallArguments& call) {
  switch (call.operation) {
    case FileWork::kFtruncate:
      return OrErrno(::ftruncate(call.fd, call.a));
    case FileWork::kFallocate:
      return OrErrno(::fallocate(call.fd, static_cast<int>(call.a), call.b, call.c));
    case FileWork::kCopyFileRange:
      return CopyRange(call.fd, call.a, static_cast<int>(call.b), call.c, call.d);
    case FileWork::kFdatasync:
      return OrErrno(::fdatasync(call.fd));
    case FileWork::kSyncfs:
      return OrErrno(::syncfs(call.fd));
    case FileWork::kUnlink:
      return OrErrno(::unlinkat(call.fd, call.path.c_str(), 0));
  }
  return -ENOSYS;
}

}  // namespace

void LongCall::Start(Napi::Function done, LongCallArguments arguments) {
  // The worker frees itself after its completion.
  (new LongCall(done, std::move(arguments)))->Queue();
}

LongCall::LongCall(Napi::Function done, LongCallArguments arguments)
    : Napi::AsyncWorker(done, "chfs file"), arguments_(std::move(arguments)) {}

void LongCall::Execute() {
  do {
    result_ = Run(arguments_);
  } while (result_ == -EINTR);
}

void LongCall::OnOK() { Callback().Call({Napi::Number::New(Env(), static_cast<double>(result_))}); }

}  // namespace chfs
