// Small tools over raw bytes and files that the store's parts share: checksums, and reads and writes that are whole.
#ifndef CHFS_KV_BYTES_HH_
#define CHFS_KV_BYTES_HH_

#include <cstddef>
#include <cstdint>

namespace chfs::kv {

inline constexpr size_t kKeyBytesMax = 500;
inline constexpr size_t kValueBytesMax = 128 * 1024;

// XXH3-64 of `bytes` bytes.
uint64_t Checksum(const void* data, size_t bytes, uint64_t seed);

// The 4 bytes that stand after each value in LMDB: the low half of XXH3-64 over the value, seeded with the key's own
// XXH3-64, so that a value found under another key is as wrong as a damaged one.
uint32_t ValueChecksum(const uint8_t* key, size_t key_bytes, const uint8_t* value, size_t value_bytes);

// All bytes are written, or a negative errno is returned (-ENOSPC where the kernel stops short).
int WriteAll(int fd, const void* data, size_t bytes, uint64_t offset);

// The number of bytes read, fewer than asked only at the end of the file, or a negative errno.
int64_t ReadAll(int fd, void* data, size_t bytes, uint64_t offset);

// fdatasync(2), repeated on EINTR: 0 or a negative errno.
int SyncData(int fd);

// A file descriptor that closes itself.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.Release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { Reset(-1); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void Reset(int fd);

 private:
  int Release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

  int fd_ = -1;
};

}  // namespace chfs::kv

#endif  // CHFS_KV_BYTES_HH_
