#include "ucx/transport.hh"

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.hh"
#include "base/hot_call.hh"
#include "pool/buffer_pool.hh"

namespace chfs::ucx {

namespace {

constexpr int kRoundsPerTurn = 8;
/// After so many turns without anything to do, which take about a millisecond, it is not worth to turn in circles.
constexpr uint32_t kFruitlessTurnsMax = 500;
constexpr uint64_t kStuckMilliseconds = 1;
constexpr size_t kRecordWords = sizeof(Record) / sizeof(int32_t);

Napi::TypedArray MakeWords(Napi::Env env, napi_typedarray_type type, size_t bytes, void** data) {
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, bytes);
  *data = buffer.Data();
  napi_value array = nullptr;
  napi_create_typedarray(env, type, bytes / 4, buffer, 0, &array);
  return {env, array};
}

bool IsBytes(Napi::Value value) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
}

/// The bytes of a Uint8Array.
std::span<const std::byte> Bytes(Napi::Value value) {
  const auto array = value.As<Napi::Uint8Array>();
  return {reinterpret_cast<const std::byte*>(array.Data()), array.ByteLength()};
}

bool IsSecret(Napi::Value value) { return IsBytes(value) && Bytes(value).size() == kSecretBytes; }

const uint8_t* SecretOf(Napi::Value value) { return reinterpret_cast<const uint8_t*>(Bytes(value).data()); }

std::string TextAt(Napi::Array array, uint32_t index) {
  napi_value value = nullptr;
  char text[1024] = "";
  napi_get_element(array.Env(), array, index, &value);
  napi_get_value_string_utf8(array.Env(), value, text, sizeof text, nullptr);
  return text;
}

Worker::Settings SettingsOf(Napi::Array array) {
  Worker::Settings settings;
  for (uint32_t index = 0; index + 1 < array.Length(); index += 2) {
    settings.emplace_back(TextAt(array, index), TextAt(array, index + 1));
  }
  return settings;
}

uv_handle_t* HandleOf(auto* handle) { return reinterpret_cast<uv_handle_t*>(handle); }

}  // namespace

void Transport::Init(Napi::Env env, Napi::Object exports) {
  exports.Set("Transport", DefineClass(env, "Transport",
                                       {
                                           InstanceMethod<&Transport::Expect>("expect"),
                                           InstanceMethod<&Transport::Connect>("connect"),
                                           InstanceMethod<&Transport::Describe>("describe"),
                                           InstanceMethod<&Transport::End>("end"),
                                       }));
}

Transport::Transport(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Transport>(info) {
  const Napi::Env env = info.Env();
  const std::shared_ptr<Pool> pool = BufferPool::From(info[0]);
  if (pool == nullptr) return;
  if (!info[1].IsArray() || !info[2].IsFunction()) {
    Napi::TypeError::New(env, "Transport takes (pool, [name, value, …], onEvents)").ThrowAsJavaScriptException();
    return;
  }
  engine_ = std::make_unique<Engine>(pool);
  const std::string failure = engine_->Open(SettingsOf(info[1].As<Napi::Array>()));
  if (!failure.empty()) {
    Napi::Error::New(env, "UCX: " + failure).ThrowAsJavaScriptException();
    return;
  }
  open_ = true;
  on_events_.emplace(info[2].As<Napi::Function>(), "chfs.Transport");
  const auto self = info.This().As<Napi::Object>();
  ShareArrays(self);
  DefineHotCall<&Transport::Request, 6>(self, "request", this);
  DefineHotCall<&Transport::Reply, 6>(self, "reply", this);
  DefineHotCall<&Transport::Cancel, 1>(self, "cancel", this);
  DefineHotCall<&Transport::Close, 1>(self, "close", this);
  DefineHotCall<&Transport::Turns, 0>(self, "turns", this);
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  StartHandles(loop);
  hook_.Arm(env, [](void* transport) { static_cast<Transport*>(transport)->Shut(); }, this);
  Ref();
}

void Transport::ShareArrays(Napi::Object self) {
  const Napi::Env env = self.Env();
  const Napi::Object arrays = Napi::Object::New(env);
  const auto share = [&](const char* name, Napi::Value array) {
    self.DefineProperty(Napi::PropertyDescriptor::Value(name, array, napi_enumerable));
    arrays.Set(name, array);
  };
  void* outbox = nullptr;
  void* inbox = nullptr;
  void* records = nullptr;
  share("outbox", MakeWords(env, napi_uint32_array, kHeadBytesMax, &outbox));
  share("inbox", MakeWords(env, napi_uint32_array, Mailbox::kInboxBytes, &inbox));
  share("records", MakeWords(env, napi_int32_array, Mailbox::kBatch * kRecordWords * 4, &records));
  outbox_ = static_cast<std::byte*>(outbox);
  records_ = static_cast<Record*>(records);
  engine_->Events().Share(records_, static_cast<std::byte*>(inbox));
  // Whatever JavaScript drops of it, the arrays stay as long as this object.
  arrays_ = Napi::Persistent(arrays);
  const std::vector<std::byte>& address = engine_->EncodedAddress();
  auto copy = Napi::Uint8Array::New(env, address.size());
  std::memcpy(copy.Data(), address.data(), address.size());
  self.DefineProperty(Napi::PropertyDescriptor::Value("address", copy, napi_enumerable));
}

void Transport::StartHandles(uv_loop_t* loop) {
  Assert(uv_poll_init(loop, &poll_, engine_->Descriptor()) == 0, "a worker can be polled");
  uv_prepare_init(loop, &prepare_);
  uv_idle_init(loop, &idle_);
  uv_timer_init(loop, &timer_);
  poll_.data = prepare_.data = idle_.data = timer_.data = this;
  uv_poll_start(&poll_, UV_READABLE, [](uv_poll_t* handle, int, int) {
    auto* self = static_cast<Transport*>(handle->data);
    self->is_armed_ = false;
    self->Drain();
  });
  // Before the loop sleeps: what was sent since the last time needs progress, too.
  uv_prepare_start(&prepare_, [](uv_prepare_t* handle) {
    auto* self = static_cast<Transport*>(handle->data);
    if (self->is_armed_ && !self->engine_->IsRestless()) {
      uv_idle_stop(&self->idle_);
      return;
    }
    self->Drain();
    // Whoever got news may have given work to a device that has been asked already whether the loop may sleep.
    if (self->open_ && self->has_delivered_) uv_idle_start(&self->idle_, [](uv_idle_t*) {});
  });
  uv_unref(HandleOf(&poll_));
  uv_unref(HandleOf(&prepare_));
  uv_unref(HandleOf(&idle_));
  uv_unref(HandleOf(&timer_));
  handles_ = 4;
}

// --- calls

Napi::Value Transport::Expect(const Napi::CallbackInfo& info) {
  if (!open_ || ending_ || !IsSecret(info[0])) return Napi::Number::New(info.Env(), -EINVAL);
  return Napi::Number::New(info.Env(), engine_->Expect(SecretOf(info[0])));
}

Napi::Value Transport::Connect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const bool is_sound = info[0].IsNumber() && IsBytes(info[1]) && info[2].IsNumber() && IsSecret(info[3]);
  if (!open_ || ending_ || !is_sound) return Napi::Number::New(env, -EINVAL);
  const uint32_t channel = info[0].As<Napi::Number>().Uint32Value();
  const uint32_t peer_channel = info[2].As<Napi::Number>().Uint32Value();
  const int32_t error = engine_->Connect(channel, Bytes(info[1]), peer_channel, SecretOf(info[3]));
  Touch();
  return Napi::Number::New(env, error);
}

Napi::Value Transport::Describe(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), open_ ? engine_->Describe(info[0].As<Napi::Number>().Uint32Value()) : "");
}

void Transport::End(const Napi::CallbackInfo&) {
  if (!open_ || ending_) return;
  ending_ = true;
  engine_->CloseAll();
  Touch();
}

std::span<const std::byte> Transport::Head(int32_t bytes) const {
  Assert(bytes >= 0 && bytes <= static_cast<int32_t>(kHeadBytesMax) && bytes % 4 == 0, "a head is whole words");
  return {outbox_, static_cast<size_t>(bytes)};
}

int32_t Transport::Request(const int32_t* arguments) {
  Assert(open_ && !ending_, "an ended transport is not asked");
  const auto number = [arguments](int index) { return static_cast<uint32_t>(arguments[index]); };
  const uint32_t token = engine_->Request(number(0), Head(arguments[1]), number(2), number(3), number(4), number(5));
  has_asked_ = true;
  Touch();
  return static_cast<int32_t>(token);
}

int32_t Transport::Reply(const int32_t* arguments) {
  if (!open_) return 0;
  const auto number = [arguments](int index) { return static_cast<uint32_t>(arguments[index]); };
  engine_->Reply(number(0), number(1), Head(arguments[2]), number(3), number(4), arguments[5]);
  Touch();
  return 0;
}

int32_t Transport::Cancel(const int32_t* arguments) {
  if (!open_) return 0;
  engine_->Cancel(static_cast<uint32_t>(arguments[0]));
  Touch();
  return 0;
}

int32_t Transport::Close(const int32_t* arguments) {
  if (!open_) return 0;
  engine_->Close(static_cast<uint32_t>(arguments[0]));
  Touch();
  return 0;
}

// --- the loop

void Transport::Touch() {
  is_armed_ = false;
  is_touched_ = true;
  HoldLoop();
}

void Transport::Drain() {
  if (!open_ || is_draining_) return;
  turns_++;
  is_draining_ = true;
  is_armed_ = false;
  has_delivered_ = false;
  bool has_worked = false;
  bool spins = false;
  // Something has happened since the loop was here.
  bool is_fresh = std::exchange(is_touched_, false);
  for (int round = 0; round < kRoundsPerTurn && !is_armed_ && open_; round++) {
    bool any = engine_->Work();
    if (!engine_->Events().IsEmpty()) {
      Deliver();
      any = has_delivered_ = true;
    }
    has_worked |= any;
    is_fresh |= any;
    if (!open_ || !engine_->Events().IsEmpty() || engine_->IsRestless() || (any && ending_)) continue;
    if (ending_) {
      Finish();
      break;
    }
    if (std::exchange(has_asked_, false) || has_delivered_) spin_.Found();
    if (std::exchange(is_fresh, false)) spin_.Start(engine_->Awaits());
    spins = spin_.GoesOn();
    if (spins) break;
    // It is armed only where UCX has just found nothing to do.
    if (any) continue;
    // The first attempt after a wake-up takes the signal away that woke us, and the second succeeds.
    is_armed_ = engine_->Arm();
  }
  is_draining_ = false;
  if (open_) Rest(has_worked || spins);
}

/// Decides how the loop comes back. UCX cannot be armed while something waits for room in a queue of shared memory,
/// which may be for as long as a peer stands still: then it is looked after by a timer.
void Transport::Rest(bool may_turn) {
  fruitless_ = may_turn || is_armed_ ? 0 : fruitless_ + 1;
  const bool is_stuck = fruitless_ > kFruitlessTurnsMax;
  if (is_armed_ || is_stuck) {
    uv_idle_stop(&idle_);
  } else {
    // What was cut short goes on in the next turn, which comes at once.
    uv_idle_start(&idle_, [](uv_idle_t*) {});
  }
  if (is_stuck) uv_timer_start(&timer_, [](uv_timer_t*) {}, kStuckMilliseconds, 0);
  HoldLoop();
}

void Transport::Deliver() {
  const uint32_t count = engine_->Events().Fill();
  const Napi::Env env = on_events_->Env();
  const Napi::HandleScope scope(env);
  engine_->Cork();
  on_events_->Call({Napi::Number::New(env, count)});
  if (!open_) return;
  engine_->Uncork();
  for (uint32_t index = 0; index < count; index++) {
    if (records_[index].event == Event::kEnd) engine_->Delivered(records_[index].token);
  }
}

void Transport::HoldLoop() {
  if (!open_) return;
  if (engine_->IsBusy() || ending_ || !engine_->Events().IsEmpty()) {
    uv_ref(HandleOf(&poll_));
  } else {
    uv_unref(HandleOf(&poll_));
  }
}

// --- the end

/// All channels are closed, and everybody was told.
void Transport::Finish() {
  uv_poll_stop(&poll_);
  engine_->Shut();
  engine_->Events().Ended();
  Deliver();
  if (open_) CloseHandles();
}

void Transport::Shut() {
  if (!open_) return;
  // UCX closes the descriptor, whose number may then be another's.
  uv_poll_stop(&poll_);
  engine_->Shut();
  CloseHandles();
}

void Transport::CloseHandles() {
  open_ = false;
  const auto closed = [](uv_handle_t* handle) { static_cast<Transport*>(handle->data)->OnHandleClosed(); };
  for (uv_handle_t* handle : {HandleOf(&poll_), HandleOf(&prepare_), HandleOf(&idle_), HandleOf(&timer_)}) {
    uv_close(handle, closed);
  }
}

void Transport::OnHandleClosed() {
  if (--handles_ > 0) return;
  const Napi::HandleScope scope(Env());
  on_events_.reset();
  Unref();
  hook_.Disarm();
}

}  // namespace chfs::ucx
