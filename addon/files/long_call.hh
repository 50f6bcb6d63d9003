// Calls on files that may take long, each on the thread pool. The caller keeps the descriptors open until `done`.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>

namespace chfs {

/// The numbers that JavaScript gives to `Files.work`.
enum class FileWork : int32_t {
  kFtruncate = 1,      // a: size
  kFallocate = 2,      // a: mode, b: offset, c: bytes
  kCopyFileRange = 3,  // from fd at a, to descriptor b at c, d bytes; the result is the bytes copied
  kFdatasync = 4,
  kSyncfs = 5,
  kUnlink = 6,  // by `workUnlink` only
};

struct LongCallArguments {
  FileWork operation;
  int fd;
  int64_t a, b, c, d;
  std::string path;
};

class LongCall final : public Napi::AsyncWorker {
 public:
  /// `done` is called later with the result or a negative errno.
  static void Start(Napi::Function done, LongCallArguments arguments);

 private:
  LongCall(Napi::Function done, LongCallArguments arguments);
  void Execute() override;
  void OnOK() override;

  const LongCallArguments arguments_;
  int64_t result_ = 0;
};

}  // namespace chfs
