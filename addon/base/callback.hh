// How a device calls JavaScript from the event loop, and how it learns that the environment ends.
#pragma once

#include <napi.h>

#include <cstdint>
#include <initializer_list>

namespace chfs {

/// A number property of an options object, or 0 where it is absent.
inline uint32_t NumberProperty(Napi::Object options, const char* name) {
  napi_value value = nullptr;
  uint32_t number = 0;
  if (napi_get_named_property(options.Env(), options, name, &value) != napi_ok) return 0;
  return napi_get_value_uint32(options.Env(), value, &number) == napi_ok ? number : 0;
}

/// A JavaScript function that is called from the loop, outside of any JavaScript frame, so that microtasks run after
/// it.
class LoopCallback {
 public:
  LoopCallback(Napi::Function function, const char* name)
      : function_(Napi::Persistent(function)), context_(function.Env(), name) {}

  /// False when JavaScript can no longer run because the environment ends. What the function throws becomes an
  /// uncaught exception of the process.
  bool Call(std::initializer_list<napi_value> arguments) {
    const Napi::Env env = function_.Env();
    napi_value result = nullptr;
    napi_value receiver = nullptr;
    napi_get_global(env, &receiver);
    const napi_status status =
        napi_make_callback(env, context_, receiver, function_.Value(), arguments.size(), arguments.begin(), &result);
    if (status == napi_ok) return true;
    bool thrown = false;
    napi_is_exception_pending(env, &thrown);
    if (!thrown) return false;
    napi_value error = nullptr;
    napi_get_and_clear_last_exception(env, &error);
    napi_fatal_exception(env, error);
    return true;
  }

  Napi::Env Env() const { return function_.Env(); }

 private:
  Napi::FunctionReference function_;
  Napi::AsyncContext context_;
};

/// Closes a device when its environment ends. The environment waits until the device says, with `Disarm`, that its
/// loop handles are closed; a plain cleanup hook would free the device under handles that are still closing.
class EnvironmentHook {
 public:
  using Close = void (*)(void* device);

  void Arm(napi_env env, Close close, void* device) {
    close_ = close;
    device_ = device;
    napi_add_async_cleanup_hook(
        env,
        [](napi_async_cleanup_hook_handle, void* self) {
          auto* hook = static_cast<EnvironmentHook*>(self);
          hook->close_(hook->device_);
        },
        this, &handle_);
  }

  /// The device may be freed inside of this call, so it must be the last one.
  void Disarm() {
    const napi_async_cleanup_hook_handle handle = handle_;
    handle_ = nullptr;
    if (handle != nullptr) napi_remove_async_cleanup_hook(handle);
  }

 private:
  napi_async_cleanup_hook_handle handle_ = nullptr;
  Close close_ = nullptr;
  void* device_ = nullptr;
};

}  // namespace chfs
