// One io_uring of the loop. JavaScript writes operations into a shared array of descriptors, they are submitted once a
// turn, and completions come back in batches: one crossing for many operations, no value made for any of them.
#pragma once

#include <liburing.h>
#include <napi.h>
#include <uv.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "base/callback.hh"
#include "pool/buffer_pool.hh"

namespace chfs {

/// `new Uring(pool, { entries }, onComplete)`. Properties: `descriptors` (Int32Array, 16 words an operation), `pending`
/// (Int32Array of one: how many descriptors wait), `completions` (Int32Array, token and result of each), `limit` (how
/// many operations may be in flight; the caller keeps to it). `onComplete(count)` is called from the loop, never inside
/// of `submit`. The object lives until `close`, which waits for what is in flight: the kernel may be writing to the
/// pool.
class Uring final : public Napi::ObjectWrap<Uring> {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  explicit Uring(const Napi::CallbackInfo& info);

 private:
  void Arm(const Napi::CallbackInfo& info);
  void Submit(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  int Open(uint32_t entries);
  void ShareArrays(Napi::Object self);
  void StartHandles(uv_loop_t* loop);
  void SubmitPending();
  void Translate();
  void Prepare(io_uring_sqe* sqe, const int32_t* descriptor);
  void Enter();
  bool Reap();
  void OnPrepare();
  void OnPoll();
  void HoldLoop();
  void Shut();
  void OnHandleClosed();

  std::shared_ptr<Pool> pool_;
  std::optional<LoopCallback> on_complete_;
  Napi::Reference<Napi::Int32Array> arrays_[3];
  EnvironmentHook hook_;
  io_uring ring_{};
  uv_poll_t poll_{};
  uv_prepare_t prepare_{};
  int32_t* descriptors_ = nullptr;
  int32_t* completions_ = nullptr;
  int32_t* pending_ = nullptr;
  uint32_t capacity_ = 0;
  uint32_t limit_ = 0;
  uint32_t in_flight_ = 0;
  int handles_ = 0;
  bool open_ = false;
};

}  // namespace chfs
