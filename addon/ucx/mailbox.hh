// What has happened, on its way to JavaScript: fixed records and the heads that belong to them, in batches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "pool/buffer_pool.hh"

namespace chfs::ucx {

/// lib/native/ucx.ts has the same numbers.
enum class Event : int32_t { kNothing = 0, kRequest = 1, kEnd = 2, kSlotFree = 3, kFailed = 4, kEnded = 5 };

struct Record {
  Event event;
  uint32_t channel;
  uint32_t token;
  /// kRequest: the slot with its data, or −1. kEnd: bytes of the reply, or a negative errno. kFailed: such an errno.
  int32_t result;
  /// kRequest: bytes of its data.
  uint32_t bytes;
  /// In 32-bit words of the inbox.
  uint32_t head_at;
  uint32_t head_bytes;
  uint32_t reserved;
};
static_assert(sizeof(Record) == 32);

class Mailbox {
 public:
  static constexpr uint32_t kBatch = 256;
  static constexpr uint32_t kInboxBytes = 131072;

  explicit Mailbox(Pool& pool) : pool_(pool) {}
  /// Where a batch goes: `records` has room for kBatch of them, `inbox` for kInboxBytes.
  void Share(Record* records, std::byte* inbox);

  void Request(uint32_t channel, uint32_t token, std::span<const std::byte> head, int32_t slot, uint32_t bytes);
  void End(uint32_t channel, uint32_t token, int32_t result, std::span<const std::byte> head);
  void SlotFree();
  void Failed(uint32_t channel, int32_t error);
  /// The transport has ended. It is the last.
  void Ended();

  /// The channel is closed: its requests are dropped, and those that it asked end with −ECONNRESET.
  void Forget(uint32_t channel);

  bool IsEmpty() const { return front_ == queue_.size(); }
  /// Moves the oldest into the shared arrays; how many.
  uint32_t Fill();

 private:
  void Push(const Record& record, std::span<const std::byte> head);

  Pool& pool_;
  Record* records_ = nullptr;
  std::byte* inbox_ = nullptr;
  std::vector<Record> queue_;
  /// Heads of the queue's records; their `head_at` counts from here.
  std::vector<std::byte> heads_;
  size_t front_ = 0;
};

}  // namespace chfs::ucx
