// The one place where file data lives. Slots are handed out last in, first out, so that a quiet mount touches few
// pages; the arena is neither populated nor backed by huge pages, so that memory grows with use only.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace chfs {

/// A device that stopped for want of a slot.
class SlotWaiter {
 public:
  /// Called once after a slot came free. It may take slots, and must not call JavaScript.
  virtual void OnSlotFree() = 0;

 protected:
  ~SlotWaiter() = default;
};

/// `count` slots, each of a head page and a payload. Used on the loop thread only; shared by the devices, so that the
/// memory outlives the last of them, whatever JavaScript has dropped.
class Pool {
 public:
  static constexpr uint32_t kHeadBytes = 4096;
  /// Slots that only a kernel session may take, so that FORGET, INTERRUPT and RELEASE are always read.
  static constexpr uint32_t kReservedSlots = 4;
  static constexpr uint32_t kPayloadBytesMin = 8192;

  /// The last `for_peers` of the slots serve peers only. Null when the system has no room for the arena.
  static std::shared_ptr<Pool> Create(uint32_t count, uint32_t payload_bytes, uint32_t for_peers);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// A free slot of those for this node's own clients, or −1 when no more than `leave` are free.
  int32_t Acquire(uint32_t leave);
  /// A free slot of those that serve peers, or −1.
  int32_t AcquireForPeer();
  void Release(uint32_t slot);

  /// `waiter` is called once, when the next slot is released.
  void WaitForSlot(SlotWaiter* waiter);
  void StopWaiting(SlotWaiter* waiter);

  std::byte* Head(uint32_t slot) const { return memory_ + static_cast<size_t>(slot) * Stride(); }
  std::byte* Payload(uint32_t slot) const { return Head(slot) + kHeadBytes; }
  /// The address of `bytes` at an offset into the arena; outside of it is a broken invariant.
  std::byte* At(uint64_t offset, uint64_t bytes) const;

  uint32_t Count() const { return count_; }
  uint32_t PayloadBytes() const { return payload_bytes_; }
  uint32_t Stride() const { return kHeadBytes + payload_bytes_; }
  size_t Bytes() const { return static_cast<size_t>(count_) * Stride(); }
  std::byte* Memory() const { return memory_; }

 private:
  Pool(std::byte* memory, uint32_t count, uint32_t payload_bytes, uint32_t for_peers);
  int32_t Take(std::vector<uint32_t>& free, size_t leave);

  std::byte* const memory_;
  const uint32_t count_;
  const uint32_t payload_bytes_;
  /// The first slot of those that serve peers.
  const uint32_t own_;
  std::vector<uint32_t> free_;
  std::vector<uint32_t> free_for_peers_;
  std::vector<bool> held_;
  std::vector<SlotWaiter*> waiters_;
};

/// The pool as JavaScript sees it: `new BufferPool({ count, payloadBytes, forPeers })`: at least
/// one slot, payloads of a multiple of 4096 from 8192 on, less than 4 GiB in all.
class BufferPool final : public Napi::ObjectWrap<BufferPool> {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  explicit BufferPool(const Napi::CallbackInfo& info);

  /// The pool behind a JavaScript value; null, with a TypeError pending, when the value is no BufferPool.
  static std::shared_ptr<Pool> From(Napi::Value value);

 private:
  Napi::Value Memory(const Napi::CallbackInfo& info);
  Napi::Value Acquire(const Napi::CallbackInfo& info);
  Napi::Value AcquireForPeer(const Napi::CallbackInfo& info);
  void Release(const Napi::CallbackInfo& info);

  std::shared_ptr<Pool> pool_;
  Napi::Reference<Napi::ArrayBuffer> memory_;
};

}  // namespace chfs
