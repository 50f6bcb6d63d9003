// The transport as JavaScript sees it, and its place in the event loop.
#pragma once

#include <napi.h>
#include <uv.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/callback.hh"
#include "ucx/engine.hh"
#include "ucx/spin.hh"

namespace chfs::ucx {

/// `new Transport(pool, [name, value, …], onEvents)`, with settings of ucp_config_modify. Properties: `address`
/// (Uint8Array), `outbox` (Uint32Array: the head of the next message), `inbox` (Uint32Array: heads that have arrived),
/// `records` (Int32Array, 8 words an event: see mailbox.hh). `onEvents(count)` is called from the loop, never inside of
/// a call. The object lives until it has delivered that it ended; an idle one does not keep the process alive.
class Transport final : public Napi::ObjectWrap<Transport> {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  explicit Transport(const Napi::CallbackInfo& info);

 private:
  Napi::Value Expect(const Napi::CallbackInfo& info);
  Napi::Value Connect(const Napi::CallbackInfo& info);
  Napi::Value Describe(const Napi::CallbackInfo& info);
  void End(const Napi::CallbackInfo& info);

  // Hot calls. request: channel, head bytes, at, bytes, to, room; gives the token.
  int32_t Request(const int32_t* arguments);
  // channel, token, head bytes, at, bytes, slot
  int32_t Reply(const int32_t* arguments);
  // token
  int32_t Cancel(const int32_t* arguments);
  // channel
  int32_t Close(const int32_t* arguments);
  int32_t Turns(const int32_t*) { return static_cast<int32_t>(turns_); }

  void ShareArrays(Napi::Object self);
  void StartHandles(uv_loop_t* loop);
  /// The engine has something to do before the loop sleeps.
  void Touch();
  void Drain();
  void Rest(bool may_turn);
  void Deliver();
  void Finish();
  void HoldLoop();
  void Shut();
  void CloseHandles();
  void OnHandleClosed();
  std::span<const std::byte> Head(int32_t bytes) const;

  std::unique_ptr<Engine> engine_;
  std::optional<LoopCallback> on_events_;
  Napi::ObjectReference arrays_;
  EnvironmentHook hook_;
  uv_poll_t poll_{};
  uv_prepare_t prepare_{};
  uv_idle_t idle_{};
  uv_timer_t timer_{};
  std::byte* outbox_ = nullptr;
  Record* records_ = nullptr;
  int handles_ = 0;
  uint32_t turns_ = 0;
  /// Turns since the last one in which there was anything to do.
  uint32_t fruitless_ = 0;
  bool open_ = false;
  bool ending_ = false;
  bool is_draining_ = false;
  /// UCX's descriptor will wake the loop, and nothing was done since that could need more.
  bool is_armed_ = false;
  /// Something was sent or closed since the loop was here last.
  bool is_touched_ = false;
  /// Among that was a request of this node's own.
  bool has_asked_ = false;
  /// JavaScript was called when the loop was here last.
  bool has_delivered_ = false;
  Spin spin_;
};

}  // namespace chfs::ucx
