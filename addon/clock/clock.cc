#include "clock/clock.hh"

#include <cerrno>
#include <ctime>

#include "base/hot_call.hh"

namespace chfs {

void Clock::Init(Napi::Env env, Napi::Object exports) { exports.Set("Clock", DefineClass(env, "Clock", {})); }

Clock::Clock(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Clock>(info) {
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(info.Env(), 2 * sizeof(double));
  now_ = static_cast<double*>(buffer.Data());
  buffer_ = Napi::Persistent(buffer);
  Value().Set("now", buffer);
  DefineHotCall<&Clock::ReadRealtime, 0>(Value(), "readRealtime", this);
}

int32_t Clock::ReadRealtime(const int32_t*) {
  timespec now;
  if (::clock_gettime(CLOCK_REALTIME, &now) != 0) return -errno;
  now_[0] = static_cast<double>(now.tv_sec);
  now_[1] = static_cast<double>(now.tv_nsec);
  return 0;
}

}  // namespace chfs
