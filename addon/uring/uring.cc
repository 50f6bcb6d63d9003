#include "uring/uring.hh"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/assert.hh"

namespace chfs {

namespace {

enum Operation : int32_t { kNop = 0, kRead = 1, kWrite = 2, kFsync = 3, kFallocate = 4 };

// The words of a descriptor. Offsets and lengths are unsigned, low word first.
enum Word : uint32_t {
  kOperation = 0,
  kSqeFlags = 1,
  kFile = 2,
  kToken = 3,
  kPoolOffset = 4,
  kBytesLow = 5,
  kBytesHigh = 6,
  kOffsetLow = 7,
  kOffsetHigh = 8,
  kMode = 9,  // FSYNC: its flags; FALLOCATE: its mode
  kDescriptorWords = 16,
};

constexpr uint32_t kEntriesMax = 4096;
constexpr int kRoundsPerTurn = 4;

uint64_t Wide(const int32_t* descriptor, Word low) {
  return static_cast<uint32_t>(descriptor[low]) | static_cast<uint64_t>(static_cast<uint32_t>(descriptor[low + 1]))
                                                      << 32;
}

}  // namespace

void Uring::Init(Napi::Env env, Napi::Object exports) {
  exports.Set("Uring", DefineClass(env, "Uring",
                                   {
                                       InstanceMethod<&Uring::Arm>("arm"),
                                       InstanceMethod<&Uring::Submit>("submit"),
                                       InstanceMethod<&Uring::Close>("close"),
                                   }));
}

Uring::Uring(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Uring>(info) {
  const Napi::Env env = info.Env();
  pool_ = BufferPool::From(info[0]);
  if (pool_ == nullptr) return;
  if (!info[1].IsObject() || !info[2].IsFunction()) {
    Napi::TypeError::New(env, "Uring takes (pool, { entries }, onComplete)").ThrowAsJavaScriptException();
    return;
  }
  capacity_ = NumberProperty(info[1].As<Napi::Object>(), "entries");
  if (capacity_ == 0 || capacity_ > kEntriesMax) {
    Napi::RangeError::New(env, "Uring: entries is 1 … 4096").ThrowAsJavaScriptException();
    return;
  }
  if (const int error = Open(capacity_); error != 0) {
    Napi::Error::New(env, std::string("io_uring: ") + std::strerror(-error)).ThrowAsJavaScriptException();
    return;
  }
  on_complete_.emplace(info[2].As<Napi::Function>(), "chfs.Uring");
  ShareArrays(info.This().As<Napi::Object>());
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  StartHandles(loop);
  hook_.Arm(env, [](void* self) { static_cast<Uring*>(self)->Shut(); }, this);
  Ref();
}

/// The arena is not registered as a fixed buffer: that pins and so touches all of it (resident memory rose from 1.4 to
/// 67 MB for an arena of 64 MiB), and it saves only the page look-up of unbuffered transfers.
int Uring::Open(uint32_t entries) {
  // DEFER_TASKRUN is left out because a ring with it never becomes readable in epoll.
  for (const uint32_t flags : {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER, 0u}) {
    io_uring_params params{};
    params.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params.cq_entries = entries * 4;
    const int error = io_uring_queue_init_params(entries, &ring_, &params);
    if (error == -EINVAL) continue;
    if (error != 0) return error;
    limit_ = params.cq_entries;
    open_ = true;
    return 0;
  }
  return -EINVAL;
}

void Uring::ShareArrays(Napi::Object self) {
  const Napi::Env env = self.Env();
  const auto share = [&](int index, const char* name, size_t words) {
    const Napi::Int32Array array = Napi::Int32Array::New(env, words);
    arrays_[index] = Napi::Persistent(array);
    self.DefineProperty(Napi::PropertyDescriptor::Value(name, array, napi_enumerable));
    return arrays_[index].Value().Data();
  };
  descriptors_ = share(0, "descriptors", static_cast<size_t>(capacity_) * kDescriptorWords);
  completions_ = share(1, "completions", static_cast<size_t>(limit_) * 2);
  pending_ = share(2, "pending", 1);
  self.DefineProperty(Napi::PropertyDescriptor::Value("limit", Napi::Number::New(env, limit_), napi_enumerable));
}

void Uring::StartHandles(uv_loop_t* loop) {
  Assert(uv_poll_init(loop, &poll_, ring_.ring_fd) == 0, "a ring can be polled");
  poll_.data = this;
  uv_poll_start(&poll_, UV_READABLE, [](uv_poll_t* handle, int, int) { static_cast<Uring*>(handle->data)->OnPoll(); });
  uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
  uv_prepare_init(loop, &prepare_);
  prepare_.data = this;
  uv_prepare_start(&prepare_, [](uv_prepare_t* handle) { static_cast<Uring*>(handle->data)->OnPrepare(); });
  uv_unref(reinterpret_cast<uv_handle_t*>(&prepare_));
  handles_ = 2;
}

// --- submission

/// JavaScript calls it with the first descriptor of a batch: an operation not yet submitted must keep the loop alive.
void Uring::Arm(const Napi::CallbackInfo&) { HoldLoop(); }

void Uring::Submit(const Napi::CallbackInfo&) {
  if (open_) SubmitPending();
}

void Uring::SubmitPending() {
  Translate();
  Enter();
  HoldLoop();
}

/// Moves descriptors into the submission queue; what finds no place there stays at the front of the array.
void Uring::Translate() {
  const auto waiting = static_cast<uint32_t>(*pending_);
  Assert(waiting <= capacity_, "descriptors lie in their array");
  uint32_t done = 0;
  for (; done < waiting; done++) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    if (sqe == nullptr) {
      Enter();
      sqe = io_uring_get_sqe(&ring_);
    }
    if (sqe == nullptr) break;
    Prepare(sqe, descriptors_ + static_cast<size_t>(done) * kDescriptorWords);
    in_flight_++;
  }
  Assert(in_flight_ <= limit_, "completions fit their queue");
  const uint32_t left = waiting - done;
  if (left > 0 && done > 0) {
    std::memmove(descriptors_, descriptors_ + static_cast<size_t>(done) * kDescriptorWords,
                 static_cast<size_t>(left) * kDescriptorWords * sizeof(int32_t));
  }
  *pending_ = static_cast<int32_t>(left);
}

void Uring::Prepare(io_uring_sqe* sqe, const int32_t* descriptor) {
  const int file = descriptor[kFile];
  const uint64_t offset = Wide(descriptor, kOffsetLow);
  const uint64_t bytes = Wide(descriptor, kBytesLow);
  const auto at = static_cast<uint32_t>(descriptor[kPoolOffset]);
  switch (descriptor[kOperation]) {
    case kRead:
      io_uring_prep_read(sqe, file, pool_->At(at, bytes), static_cast<unsigned>(bytes), offset);
      break;
    case kWrite:
      io_uring_prep_write(sqe, file, pool_->At(at, bytes), static_cast<unsigned>(bytes), offset);
      break;
    case kFsync:
      io_uring_prep_fsync(sqe, file, static_cast<unsigned>(descriptor[kMode]));
      break;
    case kFallocate:
      // liburing 2.3 declares the length with type off_t, which is 64 bits here.
      io_uring_prep_fallocate(sqe, file, descriptor[kMode], static_cast<off_t>(offset), static_cast<off_t>(bytes));
      break;
    default:
      Assert(descriptor[kOperation] == kNop, "an operation is known");
      io_uring_prep_nop(sqe);
  }
  sqe->flags |= static_cast<uint8_t>(descriptor[kSqeFlags]);
  io_uring_sqe_set_data64(sqe, static_cast<uint32_t>(descriptor[kToken]));
}

/// A bad operation stops the kernel in the middle of the queue (its error is a completion), so go on behind it. What
/// the kernel cannot take now, for want of memory, stays queued for the next turn.
void Uring::Enter() {
  while (io_uring_sq_ready(&ring_) > 0) {
    const int taken = io_uring_submit(&ring_);
    if (taken == -EINTR) continue;
    Assert(taken >= 0 || taken == -EAGAIN || taken == -EBUSY || taken == -ENOMEM, "the ring takes submissions");
    if (taken <= 0) return;
  }
}

// --- completion

/// Moves completions into their array and calls JavaScript once; false when there were none.
bool Uring::Reap() {
  uint32_t count = 0;
  unsigned head = 0;
  io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    completions_[2 * count] = static_cast<int32_t>(cqe->user_data);
    completions_[2 * count + 1] = cqe->res;
    if (++count == limit_) break;
  }
  if (count == 0) return false;
  io_uring_cq_advance(&ring_, count);
  in_flight_ -= count;
  const Napi::HandleScope scope(on_complete_->Env());
  on_complete_->Call({Napi::Number::New(on_complete_->Env(), count)});
  return true;
}

/// Once a turn, before the loop blocks. What completed inline is delivered here, and what that delivery asked for is
/// submitted too, but only for some rounds: the loop has others to serve, and the ring stays readable.
void Uring::OnPrepare() {
  for (int round = 0; round < kRoundsPerTurn && open_; round++) {
    if (*pending_ > 0 || io_uring_sq_ready(&ring_) > 0) SubmitPending();
    if (in_flight_ == 0 || !Reap()) break;
  }
  if (!open_) return;
  if (*pending_ > 0) SubmitPending();
  HoldLoop();
}

void Uring::OnPoll() {
  // Cooperative task work may still hold the completions that made the ring readable.
  if (io_uring_cq_ready(&ring_) == 0) io_uring_get_events(&ring_);
  Reap();
  if (open_) HoldLoop();
}

void Uring::HoldLoop() {
  if (!open_) return;
  auto* handle = reinterpret_cast<uv_handle_t*>(&poll_);
  if (in_flight_ > 0 || *pending_ > 0) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
}

// --- the end

void Uring::Close(const Napi::CallbackInfo&) { Shut(); }

void Uring::Shut() {
  if (!open_) return;
  Enter();
  open_ = false;
  *pending_ = 0;
  while (in_flight_ > 0) {
    io_uring_cqe* cqe = nullptr;
    const int error = io_uring_wait_cqe(&ring_, &cqe);
    if (error == -EINTR) continue;
    if (error != 0) break;
    io_uring_cqe_seen(&ring_, cqe);
    in_flight_--;
  }
  const auto closed = [](uv_handle_t* handle) { static_cast<Uring*>(handle->data)->OnHandleClosed(); };
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&prepare_), closed);
  io_uring_queue_exit(&ring_);
}

void Uring::OnHandleClosed() {
  if (--handles_ > 0) return;
  const Napi::HandleScope scope(Env());
  on_complete_.reset();
  Unref();
  hook_.Disarm();
}

}  // namespace chfs
