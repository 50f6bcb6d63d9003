// One mounted /dev/fuse. It reads one request at a time into a slot and writes its reply; what a request means it does
// not know. Every request that takes a reply gets exactly one: what JavaScript forgets becomes EIO here, because a
// caller without an answer waits in the kernel for ever.
#pragma once

#include <napi.h>
#include <uv.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/callback.hh"
#include "base/unique_fd.hh"
#include "pool/buffer_pool.hh"

namespace chfs {

/// `new FuseSession(pool, fd, onReadable)`: `fd` is a mounted, non-blocking /dev/fuse, which the session then owns.
/// Used on the loop thread only. The object lives until `close`, which the end of the environment calls too.
class FuseSession final : public Napi::ObjectWrap<FuseSession>, private SlotWaiter {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  explicit FuseSession(const Napi::CallbackInfo& info);
  ~FuseSession();

 private:
  /// What the session knows of a slot. `kOwed` has an open request, `kSilent` one that takes no reply, `kAnswered` one
  /// that was answered by `abandon` or `answerAll` while JavaScript still works in the slot.
  enum class SlotState : uint8_t { kForeign, kOwed, kSilent, kAnswered };
  struct Slot {
    uint64_t unique = 0;
    SlotState state = SlotState::kForeign;
  };
  struct Ticket {
    uint64_t unique = 0;  // 0: answered already
    bool taken = false;
  };
  struct Counters {
    uint64_t requests = 0, replies = 0, reply_errors = 0, wakes = 0;
  };
  class Notification;

  // Hot calls (see base/hot_call.hh): next(), reply(slot, error, bodyBytes, dataBytes), release(slot).
  int32_t Next(const int32_t* arguments);
  int32_t Reply(const int32_t* arguments);
  int32_t Release(const int32_t* arguments);

  Napi::Value Park(const Napi::CallbackInfo& info);
  Napi::Value Answer(const Napi::CallbackInfo& info);
  void Notify(const Napi::CallbackInfo& info);
  void Abandon(const Napi::CallbackInfo& info);
  void AnswerAll(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);
  void KeepAlive(const Napi::CallbackInfo& info);
  void LetGo(const Napi::CallbackInfo& info);
  Napi::Value ReadCounters(const Napi::CallbackInfo& info);

  int32_t TakeRequest();
  int ReadInto(uint32_t slot);
  int WriteHeader(uint64_t unique, int32_t error);
  int Send(uint32_t slot, int32_t error, uint32_t body_bytes, uint32_t data_bytes);
  void GiveBack(uint32_t slot);
  void AnswerEarly(Slot& slot, int32_t error);
  void AnswerOpen(int32_t error);
  void RefuseWaiting();
  void Poll();
  void OnPoll();
  void OnSlotFree() override;
  void End();
  void Shut();
  void Finish();
  void StartNotification();
  void OnNotified();

  std::shared_ptr<Pool> pool_;
  /// Shared with a notification in flight on the thread pool, so that its descriptor is not another file meanwhile.
  std::shared_ptr<UniqueFd> device_;
  std::optional<LoopCallback> on_readable_;
  EnvironmentHook hook_;
  uv_poll_t poll_{};
  std::vector<Slot> slots_;
  std::vector<Ticket> tickets_;
  std::vector<uint32_t> free_tickets_;
  std::deque<Notification*> notifications_;
  Counters counters_;
  bool polling_ = false;  // poll_ is initialised and not yet closed
  bool ended_ = false;    // the mount is gone, or reading it failed
  bool shut_ = false;     // `close` was called
};

}  // namespace chfs
