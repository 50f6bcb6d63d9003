// System calls on files that Node does not have, or has only behind its thread pool: short ones at once on the loop
// thread, long ones on the thread pool. Each returns its result or a negative errno and throws nothing.
#pragma once

#include <napi.h>

#include <memory>

#include "pool/buffer_pool.hh"

namespace chfs {

/// `new Files(pool)`. `poolOffset` is an offset into the pool's memory; sizes and offsets are in bytes.
class Files final : public Napi::ObjectWrap<Files> {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  explicit Files(const Napi::CallbackInfo& info);

 private:
  using Info = const Napi::CallbackInfo&;
  Napi::Value Open(Info info);       // (dirfd, path, flags, mode): descriptor
  Napi::Value Close(Info info);      // (fd)
  Napi::Value Pread(Info info);      // (fd, poolOffset, bytes, offset, nowait): bytes
  Napi::Value Pwrite(Info info);     // (fd, poolOffset, bytes, offset, nowait): bytes
  Napi::Value Ftruncate(Info info);  // (fd, size)
  Napi::Value Fallocate(Info info);  // (fd, mode, offset, bytes)
  Napi::Value Lseek(Info info);      // (fd, offset, whence): offset
  Napi::Value Fstat(Info info);      // (fd, out): size, blocks, mtime seconds and nanoseconds, device, inode
  Napi::Value Fstatfs(Info info);    // (fd, out): block bytes, blocks, free, available, files, files free, type
  Napi::Value Unlinkat(Info info);   // (dirfd, path, flags)
  Napi::Value Mkdirat(Info info);    // (dirfd, path, mode)
  Napi::Value Renameat(Info info);   // (dirfd, path, newDirfd, newPath)
  Napi::Value Flock(Info info);      // (fd, operation): give LOCK_NB, this is the loop's thread
  Napi::Value Fdatasync(Info info);  // (fd): waits for the disk; not while serving
  void Work(Info info);              // (operation, fd, a, b, c, d, done), see `fileWork`
  void WorkUnlink(Info info);        // (dirfd, path, done)

  std::shared_ptr<Pool> pool_;
};

}  // namespace chfs
