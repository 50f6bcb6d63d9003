#include "kv/bytes.hh"

#include <unistd.h>

#include <cerrno>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace chfs::kv {

uint64_t Checksum(const void* data, size_t bytes, uint64_t seed) { return XXH3_64bits_withSeed(data, bytes, seed); }

uint32_t ValueChecksum(const uint8_t* key, size_t key_bytes, const uint8_t* value, size_t value_bytes) {
  return static_cast<uint32_t>(XXH3_64bits_withSeed(value, value_bytes, XXH3_64bits(key, key_bytes)));
}

int WriteAll(int fd, const void* data, size_t bytes, uint64_t offset) {
  const uint8_t* at = static_cast<const uint8_t*>(data);
  while (bytes > 0) {
    const ssize_t written = pwrite(fd, at, bytes, static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    if (written == 0) return -ENOSPC;
    at += written;
    bytes -= static_cast<size_t>(written);
    offset += static_cast<uint64_t>(written);
  }
  return 0;
}

int64_t ReadAll(int fd, void* data, size_t bytes, uint64_t offset) {
  uint8_t* at = static_cast<uint8_t*>(data);
  size_t total = 0;
  while (total < bytes) {
    const ssize_t got = pread(fd, at + total, bytes - total, static_cast<off_t>(offset + total));
    if (got < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    if (got == 0) break;
    total += static_cast<size_t>(got);
  }
  return static_cast<int64_t>(total);
}

int SyncData(int fd) {
  while (fdatasync(fd) != 0) {
    if (errno != EINTR) return -errno;
  }
  return 0;
}

void Fd::Reset(int fd) {
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

}  // namespace chfs::kv
