#include "files/files.hh"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <string>
#include <utility>

#include "base/assert.hh"
#include "files/long_call.hh"

namespace chfs {

namespace {

template <typename Number>
Number Argument(const Napi::CallbackInfo& info, size_t index) {
  const Napi::Number number = info[index].As<Napi::Number>();
  if constexpr (sizeof(Number) == sizeof(int64_t)) {
    return static_cast<Number>(number.Int64Value());
  } else {
    return static_cast<Number>(number.Int32Value());
  }
}

int Fd(const Napi::CallbackInfo& info, size_t index = 0) { return Argument<int>(info, index); }

std::string Path(const Napi::CallbackInfo& info, size_t index) { return info[index].As<Napi::String>(); }

/// `result` where it is not negative, else −errno.
template <typename Result>
Napi::Value Answer(const Napi::CallbackInfo& info, Result result) {
  return Napi::Number::New(info.Env(), result < 0 ? -static_cast<double>(errno) : static_cast<double>(result));
}

/// The `count` numbers that the caller shares as a Float64Array.
double* Out(const Napi::CallbackInfo& info, size_t index, size_t count) {
  Napi::Float64Array out = info[index].As<Napi::Float64Array>();
  Assert(out.ElementLength() >= count, "an out array is long enough");
  return out.Data();
}

}  // namespace

void Files::Init(Napi::Env env, Napi::Object exports) {
  exports.Set("Files", DefineClass(env, "Files",
                                   {
                                       InstanceMethod<&Files::Open>("open"),
                                       InstanceMethod<&Files::Close>("close"),
                                       InstanceMethod<&Files::Pread>("pread"),
                                       InstanceMethod<&Files::Pwrite>("pwrite"),
                                       InstanceMethod<&Files::Ftruncate>("ftruncate"),
                                       InstanceMethod<&Files::Fallocate>("fallocate"),
                                       InstanceMethod<&Files::Lseek>("lseek"),
                                       InstanceMethod<&Files::Fstat>("fstat"),
                                       InstanceMethod<&Files::Fstatfs>("fstatfs"),
                                       InstanceMethod<&Files::Unlinkat>("unlinkat"),
                                       InstanceMethod<&Files::Mkdirat>("mkdirat"),
                                       InstanceMethod<&Files::Renameat>("renameat"),
                                       InstanceMethod<&Files::Flock>("flock"),
                                       InstanceMethod<&Files::Fdatasync>("fdatasync"),
                                       InstanceMethod<&Files::Work>("work"),
                                       InstanceMethod<&Files::WorkUnlink>("workUnlink"),
                                   }));
}

Files::Files(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Files>(info) { pool_ = BufferPool::From(info[0]); }

Napi::Value Files::Open(Info info) {
  return Answer(info, ::openat(Fd(info), Path(info, 1).c_str(), Argument<int>(info, 2) | O_CLOEXEC,
                               static_cast<mode_t>(Argument<uint32_t>(info, 3))));
}

Napi::Value Files::Close(Info info) { return Answer(info, ::close(Fd(info))); }

Napi::Value Files::Pread(Info info) {
  const auto bytes = Argument<uint32_t>(info, 2);
  const iovec part{pool_->At(static_cast<uint64_t>(Argument<int64_t>(info, 1)), bytes), bytes};
  const int flags = info[4].As<Napi::Boolean>() ? RWF_NOWAIT : 0;
  ssize_t result;
  do {
    result = ::preadv2(Fd(info), &part, 1, Argument<int64_t>(info, 3), flags);
  } while (result < 0 && errno == EINTR);
  return Answer(info, result);
}

Napi::Value Files::Pwrite(Info info) {
  const auto bytes = Argument<uint32_t>(info, 2);
  const iovec part{pool_->At(static_cast<uint64_t>(Argument<int64_t>(info, 1)), bytes), bytes};
  const int flags = info[4].As<Napi::Boolean>() ? RWF_NOWAIT : 0;
  ssize_t result;
  do {
    result = ::pwritev2(Fd(info), &part, 1, Argument<int64_t>(info, 3), flags);
  } while (result < 0 && errno == EINTR);
  return Answer(info, result);
}

Napi::Value Files::Ftruncate(Info info) { return Answer(info, ::ftruncate(Fd(info), Argument<int64_t>(info, 1))); }

Napi::Value Files::Fallocate(Info info) {
  return Answer(info,
                ::fallocate(Fd(info), Argument<int>(info, 1), Argument<int64_t>(info, 2), Argument<int64_t>(info, 3)));
}

Napi::Value Files::Lseek(Info info) {
  return Answer(info, ::lseek(Fd(info), Argument<int64_t>(info, 1), Argument<int>(info, 2)));
}

Napi::Value Files::Fstat(Info info) {
  struct stat found;
  if (::fstat(Fd(info), &found) != 0) return Answer(info, -1);
  double* const out = Out(info, 1, 6);
  out[0] = static_cast<double>(found.st_size);
  out[1] = static_cast<double>(found.st_blocks);
  out[2] = static_cast<double>(found.st_mtim.tv_sec);
  out[3] = static_cast<double>(found.st_mtim.tv_nsec);
  out[4] = static_cast<double>(found.st_dev);
  out[5] = static_cast<double>(found.st_ino);
  return Answer(info, 0);
}

Napi::Value Files::Fstatfs(Info info) {
  struct statfs found;
  if (::fstatfs(Fd(info), &found) != 0) return Answer(info, -1);
  double* const out = Out(info, 1, 7);
  out[0] = static_cast<double>(found.f_bsize);
  out[1] = static_cast<double>(found.f_blocks);
  out[2] = static_cast<double>(found.f_bfree);
  out[3] = static_cast<double>(found.f_bavail);
  out[4] = static_cast<double>(found.f_files);
  out[5] = static_cast<double>(found.f_ffree);
  out[6] = static_cast<double>(found.f_type);
  return Answer(info, 0);
}

Napi::Value Files::Unlinkat(Info info) {
  return Answer(info, ::unlinkat(Fd(info), Path(info, 1).c_str(), Argument<int>(info, 2)));
}

Napi::Value Files::Mkdirat(Info info) {
  return Answer(info, ::mkdirat(Fd(info), Path(info, 1).c_str(), static_cast<mode_t>(Argument<uint32_t>(info, 2))));
}

Napi::Value Files::Renameat(Info info) {
  return Answer(info, ::renameat(Fd(info), Path(info, 1).c_str(), Fd(info, 2), Path(info, 3).c_str()));
}

Napi::Value Files::Flock(Info info) { return Answer(info, ::flock(Fd(info), Argument<int>(info, 1))); }

Napi::Value Files::Fdatasync(Info info) { return Answer(info, ::fdatasync(Fd(info))); }

void Files::Work(Info info) {
  LongCall::Start(info[6].As<Napi::Function>(), {.operation = static_cast<FileWork>(Argument<int>(info, 0)),
                                                 .fd = Fd(info, 1),
                                                 .a = Argument<int64_t>(info, 2),
                                                 .b = Argument<int64_t>(info, 3),
                                                 .c = Argument<int64_t>(info, 4),
                                                 .d = Argument<int64_t>(info, 5),
                                                 .path = {}});
}

void Files::WorkUnlink(Info info) {
  LongCall::Start(
      info[2].As<Napi::Function>(),
      {.operation = FileWork::kUnlink, .fd = Fd(info), .a = 0, .b = 0, .c = 0, .d = 0, .path = Path(info, 1)});
}

}  // namespace chfs
