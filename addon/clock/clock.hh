// The wall clock with nanoseconds, which Node does not have.
#pragma once

#include <napi.h>

namespace chfs {

/// `new Clock()`: `now`, an ArrayBuffer of two doubles, seconds and nanoseconds since 1970 as of the last
/// `readRealtime()`, which returns 0 or a negative errno.
class Clock final : public Napi::ObjectWrap<Clock> {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  explicit Clock(const Napi::CallbackInfo& info);

 private:
  int32_t ReadRealtime(const int32_t*);

  Napi::Reference<Napi::ArrayBuffer> buffer_;
  double* now_;
};

}  // namespace chfs
