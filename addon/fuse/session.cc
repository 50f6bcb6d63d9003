#include "fuse/session.hh"

#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/assert.hh"
#include "base/hot_call.hh"

namespace chfs {

namespace {

constexpr int32_t kNoRequest = -1;
constexpr int32_t kMountEnded = -2;

// A WRITE's payload begins after both headers: reading that far before the payload puts it there, page-aligned.
constexpr uint32_t kHeaderBytes = sizeof(fuse_in_header) + sizeof(fuse_write_in);
constexpr uint32_t kRequestAt = Pool::kHeadBytes - kHeaderBytes;
constexpr uint32_t kBodyBytesMax = 4000;
static_assert(sizeof(fuse_in_header) == 40 && sizeof(fuse_out_header) == 16 && kRequestAt == 4016);
static_assert(sizeof(fuse_out_header) + kBodyBytesMax <= kRequestAt);

bool TakesReply(uint32_t opcode) {
  return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT &&
         opcode != FUSE_NOTIFY_REPLY;
}

int WriteAll(int fd, iovec* parts, int count) { return ::writev(fd, parts, count) < 0 ? -errno : 0; }

}  // namespace

/// A FUSE_NOTIFY_* message, written from the thread pool: the kernel may hold the directory it names for a request that
/// only this loop can answer. One at a time, so that blocked ones never fill the pool that file operations need.
class FuseSession::Notification final : public Napi::AsyncWorker {
 public:
  Notification(FuseSession* session, std::shared_ptr<UniqueFd> device, int32_t code, std::vector<uint8_t> bytes,
               Napi::Function done)
      : Napi::AsyncWorker(done, "chfs notify"),
        session_(session),
        owner_(Napi::Persistent(session->Value())),
        device_(std::move(device)),
        code_(code),
        bytes_(std::move(bytes)) {}

  void Forgo() { device_ = nullptr; }

  void Execute() override {
    if (device_ == nullptr) {
      result_ = -ENOTCONN;
      return;
    }
    fuse_out_header header{};
    header.len = static_cast<uint32_t>(sizeof(header) + bytes_.size());
    header.error = code_;
    iovec parts[2] = {{&header, sizeof(header)}, {bytes_.data(), bytes_.size()}};
    result_ = WriteAll(device_->get(), parts, 2);
  }

  void OnOK() override {
    device_ = nullptr;
    session_->OnNotified();
    Callback().Call({Napi::Number::New(Env(), result_)});
  }

 private:
  FuseSession* const session_;
  Napi::ObjectReference owner_;
  std::shared_ptr<UniqueFd> device_;
  const int32_t code_;
  std::vector<uint8_t> bytes_;
  int result_ = 0;
};

void FuseSession::Init(Napi::Env env, Napi::Object exports) {
  exports.Set("FuseSession", DefineClass(env, "FuseSession",
                                         {
                                             InstanceMethod<&FuseSession::Park>("park"),
                                             InstanceMethod<&FuseSession::Answer>("answer"),
                                             InstanceMethod<&FuseSession::Notify>("notify"),
                                             InstanceMethod<&FuseSession::Abandon>("abandon"),
                                             InstanceMethod<&FuseSession::AnswerAll>("answerAll"),
                                             InstanceMethod<&FuseSession::Close>("close"),
                                             InstanceMethod<&FuseSession::KeepAlive>("ref"),
                                             InstanceMethod<&FuseSession::LetGo>("unref"),
                                             InstanceMethod<&FuseSession::ReadCounters>("counters"),
                                         }));
}

FuseSession::FuseSession(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FuseSession>(info) {
  const Napi::Env env = info.Env();
  pool_ = BufferPool::From(info[0]);
  if (pool_ == nullptr) return;
  if (!info[1].IsNumber() || !info[2].IsFunction()) {
    Napi::TypeError::New(env, "FuseSession takes (pool, fd, onReadable)").ThrowAsJavaScriptException();
    return;
  }
  const int fd = info[1].As<Napi::Number>();
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  if (const int error = uv_poll_init(loop, &poll_, fd); error != 0) {
    Napi::Error::New(env, std::string("FuseSession: ") + uv_strerror(error)).ThrowAsJavaScriptException();
    return;
  }
  device_ = std::make_shared<UniqueFd>(fd);
  on_readable_.emplace(info[2].As<Napi::Function>(), "chfs.FuseSession");
  slots_.resize(pool_->Count());
  poll_.data = this;
  polling_ = true;
  DefineHotCall<&FuseSession::Next, 0>(Value(), "next", this);
  DefineHotCall<&FuseSession::Reply, 4>(Value(), "reply", this);
  DefineHotCall<&FuseSession::Release, 1>(Value(), "release", this);
  hook_.Arm(env, [](void* self) { static_cast<FuseSession*>(self)->Shut(); }, this);
  Ref();
  Poll();
}

FuseSession::~FuseSession() = default;

// --- requests

int32_t FuseSession::Next(const int32_t*) { return shut_ ? kMountEnded : TakeRequest(); }

int32_t FuseSession::TakeRequest() {
  if (ended_) return kMountEnded;
  const int32_t free = pool_->Acquire(0);
  if (free < 0) {
    // A level-triggered poll would wake the loop without end while nothing can be read.
    uv_poll_stop(&poll_);
    pool_->WaitForSlot(this);
    return kNoRequest;
  }
  const auto slot = static_cast<uint32_t>(free);
  const int error = ReadInto(slot);
  if (error == 0) return free;
  pool_->Release(slot);
  if (error == -EAGAIN) return kNoRequest;
  End();
  return kMountEnded;
}

/// 0, −EAGAIN, or the errno that ends the session (ENODEV after umount, ECONNABORTED after an abort).
int FuseSession::ReadInto(uint32_t slot) {
  std::byte* const request = pool_->Head(slot) + kRequestAt;
  ssize_t bytes;
  do {
    bytes = ::read(device_->get(), request, kHeaderBytes + pool_->PayloadBytes());
    // ENOENT: the caller was interrupted before its request could be read.
  } while (bytes < 0 && (errno == EINTR || errno == ENOENT));
  if (bytes < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
  fuse_in_header header{};
  if (static_cast<size_t>(bytes) < sizeof(header)) return -EPROTO;
  std::memcpy(&header, request, sizeof(header));
  if (header.len != static_cast<size_t>(bytes)) {
    WriteHeader(header.unique, -EIO);
    return -EPROTO;
  }
  counters_.requests++;
  slots_[slot] = {header.unique, TakesReply(header.opcode) ? SlotState::kOwed : SlotState::kSilent};
  return 0;
}

int FuseSession::WriteHeader(uint64_t unique, int32_t error) {
  fuse_out_header header{.len = sizeof(header), .error = error, .unique = unique};
  iovec part{&header, sizeof(header)};
  return WriteAll(device_->get(), &part, 1);
}

/// The kernel's answer to the reply: 0 or a negative errno; ENOENT means that the caller no longer waits.
int FuseSession::Send(uint32_t slot, int32_t error, uint32_t body_bytes, uint32_t data_bytes) {
  const uint64_t unique = slots_[slot].unique;
  counters_.replies++;
  int result;
  if (error != 0) {
    result = WriteHeader(unique, error);
  } else {
    const auto head_bytes = static_cast<uint32_t>(sizeof(fuse_out_header)) + body_bytes;
    const fuse_out_header header{.len = head_bytes + data_bytes, .error = 0, .unique = unique};
    std::memcpy(pool_->Head(slot), &header, sizeof(header));
    iovec parts[2] = {{pool_->Head(slot), head_bytes}, {pool_->Payload(slot), data_bytes}};
    result = WriteAll(device_->get(), parts, data_bytes == 0 ? 1 : 2);
  }
  if (result == 0 || result == -ENOENT) return result;
  counters_.reply_errors++;
  // The kernel refused the shape of the reply and its caller still waits.
  WriteHeader(unique, -EIO);
  return result;
}

void FuseSession::GiveBack(uint32_t slot) {
  slots_[slot].state = SlotState::kForeign;
  pool_->Release(slot);
}

int32_t FuseSession::Reply(const int32_t* arguments) {
  const auto slot = static_cast<uint32_t>(arguments[0]);
  const int32_t error = arguments[1];
  const auto body_bytes = static_cast<uint32_t>(arguments[2]);
  const auto data_bytes = static_cast<uint32_t>(arguments[3]);
  Assert(slot < slots_.size(), "a replied slot lies in the pool");
  Assert(body_bytes <= kBodyBytesMax, "a reply's body is at most 4000 bytes");
  Assert(data_bytes <= pool_->PayloadBytes(), "a reply's data fits the payload");
  const SlotState state = slots_[slot].state;
  if (shut_ && state == SlotState::kForeign) return -ENOTCONN;
  Assert(state == SlotState::kOwed || state == SlotState::kAnswered, "a reply has a request that waits for it");
  const int result = state == SlotState::kOwed ? Send(slot, error, body_bytes, data_bytes) : -ENOENT;
  GiveBack(slot);
  return result;
}

int32_t FuseSession::Release(const int32_t* arguments) {
  const auto slot = static_cast<uint32_t>(arguments[0]);
  Assert(slot < slots_.size(), "a released slot lies in the pool");
  const SlotState state = slots_[slot].state;
  if (shut_ && state == SlotState::kForeign) return 0;
  Assert(state != SlotState::kForeign, "a released slot holds a request");
  if (state == SlotState::kOwed) Send(slot, -EIO, 0, 0);
  GiveBack(slot);
  return 0;
}

Napi::Value FuseSession::Park(const Napi::CallbackInfo& info) {
  const uint32_t slot = info[0].As<Napi::Number>().Uint32Value();
  Assert(slot < slots_.size(), "a parked slot lies in the pool");
  const SlotState state = slots_[slot].state;
  if (shut_ && state == SlotState::kForeign) return Napi::Number::New(info.Env(), -1);
  Assert(state == SlotState::kOwed || state == SlotState::kAnswered, "a parked slot has a request that waits");
  if (free_tickets_.empty()) {
    free_tickets_.push_back(static_cast<uint32_t>(tickets_.size()));
    tickets_.emplace_back();
  }
  const uint32_t ticket = free_tickets_.back();
  free_tickets_.pop_back();
  tickets_[ticket] = {state == SlotState::kOwed ? slots_[slot].unique : 0, true};
  GiveBack(slot);
  return Napi::Number::New(info.Env(), ticket);
}

Napi::Value FuseSession::Answer(const Napi::CallbackInfo& info) {
  const uint32_t ticket = info[0].As<Napi::Number>().Uint32Value();
  const int32_t error = info[1].As<Napi::Number>().Int32Value();
  const bool taken = ticket < tickets_.size() && tickets_[ticket].taken;
  if (shut_ && !taken) return Napi::Number::New(info.Env(), -ENOTCONN);
  Assert(taken, "an answered ticket is open");
  const uint64_t unique = std::exchange(tickets_[ticket], {}).unique;
  free_tickets_.push_back(ticket);
  if (unique == 0) return Napi::Number::New(info.Env(), -ENOENT);
  counters_.replies++;
  const int result = WriteHeader(unique, error);
  if (result == 0 || result == -ENOENT) return Napi::Number::New(info.Env(), result);
  counters_.reply_errors++;
  WriteHeader(unique, -EIO);
  return Napi::Number::New(info.Env(), result);
}

void FuseSession::Abandon(const Napi::CallbackInfo& info) {
  const uint32_t slot = info[0].As<Napi::Number>().Uint32Value();
  Assert(slot < slots_.size(), "an abandoned slot lies in the pool");
  AnswerEarly(slots_[slot], info[1].As<Napi::Number>().Int32Value());
}

void FuseSession::AnswerAll(const Napi::CallbackInfo& info) {
  if (!shut_) AnswerOpen(info[0].As<Napi::Number>().Int32Value());
}

/// The slot stays with JavaScript, whose devices may still be filling it, until it replies in vain or releases it.
void FuseSession::AnswerEarly(Slot& slot, int32_t error) {
  if (slot.state != SlotState::kOwed) return;
  slot.state = SlotState::kAnswered;
  counters_.replies++;
  if (WriteHeader(slot.unique, error) == -EINVAL) WriteHeader(slot.unique, -EIO);
}

void FuseSession::AnswerOpen(int32_t error) {
  for (Slot& slot : slots_) AnswerEarly(slot, error);
  for (Ticket& ticket : tickets_) {
    const uint64_t unique = std::exchange(ticket.unique, 0);
    if (unique == 0) continue;
    counters_.replies++;
    if (WriteHeader(unique, error) == -EINVAL) WriteHeader(unique, -EIO);
  }
}

// --- the loop

void FuseSession::Poll() {
  if (!polling_ || ended_) return;
  const auto on_poll = [](uv_poll_t* handle, int, int) { static_cast<FuseSession*>(handle->data)->OnPoll(); };
  Assert(uv_poll_start(&poll_, UV_READABLE, on_poll) == 0, "the poll of /dev/fuse starts");
}

/// Also called with an error status when the mount has ended; reading then says so.
void FuseSession::OnPoll() {
  counters_.wakes++;
  if (shut_) {
    RefuseWaiting();
    return;
  }
  const Napi::HandleScope scope(on_readable_->Env());
  // When JavaScript can no longer run nobody else will answer.
  if (!on_readable_->Call({})) Shut();
}

void FuseSession::OnSlotFree() { Poll(); }

void FuseSession::End() {
  ended_ = true;
  uv_poll_stop(&poll_);
}

/// EIO to every request that the kernel still holds back.
void FuseSession::RefuseWaiting() {
  for (int32_t slot = TakeRequest(); slot >= 0; slot = TakeRequest()) {
    const auto held = static_cast<uint32_t>(slot);
    if (slots_[held].state == SlotState::kOwed) Send(held, -EIO, 0, 0);
    GiveBack(held);
  }
}

void FuseSession::KeepAlive(const Napi::CallbackInfo&) {
  if (polling_) uv_ref(reinterpret_cast<uv_handle_t*>(&poll_));
}

void FuseSession::LetGo(const Napi::CallbackInfo&) {
  if (polling_) uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
}

void FuseSession::Close(const Napi::CallbackInfo&) { Shut(); }

void FuseSession::Shut() {
  if (shut_) return;
  shut_ = true;
  AnswerOpen(-EIO);
  RefuseWaiting();
  // A notification in flight may wait for a lock whose holder waits for us, and it keeps the descriptor open, so that
  // closing would not abort the connection: go on refusing requests until it is through.
  if (notifications_.empty()) Finish();
}

void FuseSession::Finish() {
  if (!std::exchange(polling_, false)) return;
  pool_->StopWaiting(this);
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
    auto* session = static_cast<FuseSession*>(handle->data);
    const Napi::HandleScope scope(session->Env());
    session->on_readable_.reset();
    session->Unref();
    session->hook_.Disarm();
  });
  device_.reset();
}

// --- notifications

void FuseSession::Notify(const Napi::CallbackInfo& info) {
  const Napi::Uint8Array bytes = info[1].As<Napi::Uint8Array>();
  auto* notification = new Notification(this, device_, info[0].As<Napi::Number>().Int32Value(),
                                        std::vector<uint8_t>(bytes.Data(), bytes.Data() + bytes.ByteLength()),
                                        info[2].As<Napi::Function>());
  if (shut_) notification->Forgo();
  notifications_.push_back(notification);
  if (notifications_.size() == 1) StartNotification();
}

void FuseSession::StartNotification() {
  if (shut_) notifications_.front()->Forgo();
  notifications_.front()->Queue();
}

void FuseSession::OnNotified() {
  notifications_.pop_front();
  if (!notifications_.empty()) {
    StartNotification();
  } else if (shut_) {
    Finish();
  }
}

Napi::Value FuseSession::ReadCounters(const Napi::CallbackInfo& info) {
  const Napi::Object counters = Napi::Object::New(info.Env());
  counters.Set("requests", static_cast<double>(counters_.requests));
  counters.Set("replies", static_cast<double>(counters_.replies));
  counters.Set("replyErrors", static_cast<double>(counters_.reply_errors));
  counters.Set("wakes", static_cast<double>(counters_.wakes));
  return counters;
}

}  // namespace chfs
