#include "pool/buffer_pool.hh"

#include <sys/mman.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/assert.hh"
#include "base/callback.hh"

namespace chfs {

namespace {

// Tells a BufferPool from any other object before it is unwrapped.
constexpr napi_type_tag kBufferPoolTag = {0x6368667342756666, 0x6572506f6f6c0001};

}  // namespace

std::shared_ptr<Pool> Pool::Create(uint32_t count, uint32_t payload_bytes, uint32_t for_peers) {
  const size_t bytes = static_cast<size_t>(count) * (kHeadBytes + payload_bytes);
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  // A child of a fork must not copy the arena page by page, nor a core dump hold users' data.
  ::madvise(memory, bytes, MADV_DONTFORK);
  ::madvise(memory, bytes, MADV_DONTDUMP);
  ::madvise(memory, bytes, MADV_NOHUGEPAGE);
  return std::shared_ptr<Pool>(new Pool(static_cast<std::byte*>(memory), count, payload_bytes, for_peers));
}

Pool::Pool(std::byte* memory, uint32_t count, uint32_t payload_bytes, uint32_t for_peers)
    : memory_(memory), count_(count), payload_bytes_(payload_bytes), own_(count - for_peers), held_(count, false) {
  free_.reserve(own_);
  free_for_peers_.reserve(for_peers);
  for (uint32_t slot = count; slot > 0; slot--) (slot > own_ ? free_for_peers_ : free_).push_back(slot - 1);
}

Pool::~Pool() { ::munmap(memory_, Bytes()); }

int32_t Pool::Acquire(uint32_t leave) { return Take(free_, leave); }

int32_t Pool::AcquireForPeer() { return Take(free_for_peers_, 0); }

int32_t Pool::Take(std::vector<uint32_t>& free, size_t leave) {
  if (free.size() <= leave) return -1;
  const uint32_t slot = free.back();
  free.pop_back();
  held_[slot] = true;
  return static_cast<int32_t>(slot);
}

void Pool::Release(uint32_t slot) {
  Assert(slot < count_, "a released slot lies in the pool");
  Assert(held_[slot], "a slot is released once");
  held_[slot] = false;
  (slot < own_ ? free_ : free_for_peers_).push_back(slot);
  if (waiters_.empty()) return;
  for (SlotWaiter* waiter : std::exchange(waiters_, {})) waiter->OnSlotFree();
}

void Pool::WaitForSlot(SlotWaiter* waiter) {
  if (std::find(waiters_.begin(), waiters_.end(), waiter) == waiters_.end()) waiters_.push_back(waiter);
}

void Pool::StopWaiting(SlotWaiter* waiter) { std::erase(waiters_, waiter); }

std::byte* Pool::At(uint64_t offset, uint64_t bytes) const {
  Assert(offset <= Bytes() && bytes <= Bytes() - offset, "a transfer lies in the pool");
  return memory_ + offset;
}

void BufferPool::Init(Napi::Env env, Napi::Object exports) {
  exports.Set("BufferPool", DefineClass(env, "BufferPool",
                                        {
                                            InstanceAccessor<&BufferPool::Memory>("memory"),
                                            InstanceMethod<&BufferPool::Acquire>("acquire"),
                                            InstanceMethod<&BufferPool::AcquireForPeer>("acquireForPeer"),
                                            InstanceMethod<&BufferPool::Release>("release"),
                                        }));
}

BufferPool::BufferPool(const Napi::CallbackInfo& info) : Napi::ObjectWrap<BufferPool>(info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) {
    Napi::TypeError::New(env, "BufferPool takes { count, payloadBytes }").ThrowAsJavaScriptException();
    return;
  }
  const uint32_t count = NumberProperty(info[0].As<Napi::Object>(), "count");
  const uint32_t payload_bytes = NumberProperty(info[0].As<Napi::Object>(), "payloadBytes");
  const uint32_t for_peers = NumberProperty(info[0].As<Napi::Object>(), "forPeers");
  const uint64_t bytes = static_cast<uint64_t>(count) * (static_cast<uint64_t>(payload_bytes) + Pool::kHeadBytes);
  // The kernel refuses to fill a buffer below 8 KiB, and descriptors name a place in the arena by 32 bits.
  const bool payload_fits = payload_bytes >= Pool::kPayloadBytesMin && payload_bytes % Pool::kHeadBytes == 0;
  if (count == 0 || for_peers > count || !payload_fits || bytes > std::numeric_limits<uint32_t>::max()) {
    Napi::RangeError::New(env, "BufferPool: these sizes do not fit (see buffer_pool.hh)").ThrowAsJavaScriptException();
    return;
  }
  pool_ = Pool::Create(count, payload_bytes, for_peers);
  if (pool_ == nullptr) {
    Napi::Error::New(env, "BufferPool: no memory for the arena").ThrowAsJavaScriptException();
    return;
  }
  // The array buffer owns a share of the pool: it may outlive this object.
  auto* share = new std::shared_ptr<Pool>(pool_);
  const auto drop = [](Napi::BasicEnv, void*, std::shared_ptr<Pool>* owned) { delete owned; };
  memory_ = Napi::Persistent(Napi::ArrayBuffer::New(env, pool_->Memory(), pool_->Bytes(), drop, share));
  info.This().As<Napi::Object>().TypeTag(&kBufferPoolTag);
}

std::shared_ptr<Pool> BufferPool::From(Napi::Value value) {
  if (value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&kBufferPoolTag)) {
    return Unwrap(value.As<Napi::Object>())->pool_;
  }
  Napi::TypeError::New(value.Env(), "a BufferPool is expected").ThrowAsJavaScriptException();
  return nullptr;
}

Napi::Value BufferPool::Memory(const Napi::CallbackInfo&) { return memory_.Value(); }

Napi::Value BufferPool::Acquire(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), pool_->Acquire(Pool::kReservedSlots));
}

Napi::Value BufferPool::AcquireForPeer(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), pool_->AcquireForPeer());
}

void BufferPool::Release(const Napi::CallbackInfo& info) { pool_->Release(info[0].As<Napi::Number>().Uint32Value()); }

}  // namespace chfs
