#include "ucx/mailbox.hh"

#include <cerrno>

#include "ucx/message.hh"

namespace chfs::ucx {

static_assert(Mailbox::kInboxBytes >= kHeadBytesMax, "any head fits");

void Mailbox::Share(Record* records, std::byte* inbox) {
  records_ = records;
  inbox_ = inbox;
}

void Mailbox::Push(const Record& record, std::span<const std::byte> head) {
  queue_.push_back(record);
  queue_.back().head_at = static_cast<uint32_t>(heads_.size() / 4);
  queue_.back().head_bytes = static_cast<uint32_t>(head.size());
  heads_.insert(heads_.end(), head.begin(), head.end());
}

void Mailbox::Request(uint32_t channel, uint32_t token, std::span<const std::byte> head, int32_t slot, uint32_t bytes) {
  Push({Event::kRequest, channel, token, slot, bytes, 0, 0, 0}, head);
}

void Mailbox::End(uint32_t channel, uint32_t token, int32_t result, std::span<const std::byte> head) {
  Push({Event::kEnd, channel, token, result, 0, 0, 0, 0}, head);
}

void Mailbox::SlotFree() { Push({Event::kSlotFree, 0, 0, 0, 0, 0, 0, 0}, {}); }

void Mailbox::Failed(uint32_t channel, int32_t error) { Push({Event::kFailed, channel, 0, error, 0, 0, 0, 0}, {}); }

void Mailbox::Ended() { Push({Event::kEnded, 0, 0, 0, 0, 0, 0, 0}, {}); }

void Mailbox::Forget(uint32_t channel) {
  for (size_t index = front_; index < queue_.size(); index++) {
    Record& record = queue_[index];
    if (record.channel != channel) continue;
    if (record.event == Event::kEnd) {
      record.result = -ECONNRESET;
      record.head_bytes = 0;
    } else {
      if (record.event == Event::kRequest && record.result >= 0) pool_.Release(static_cast<uint32_t>(record.result));
      record.event = Event::kNothing;
    }
  }
}

uint32_t Mailbox::Fill() {
  uint32_t count = 0;
  uint32_t used = 0;
  while (count < kBatch && front_ < queue_.size()) {
    Record& record = records_[count];
    record = queue_[front_];
    if (record.head_bytes > kInboxBytes - used) break;
    Copy(inbox_ + used, std::span(heads_).subspan(static_cast<size_t>(record.head_at) * 4, record.head_bytes));
    record.head_at = used / 4;
    used += record.head_bytes;
    front_++;
    count++;
  }
  if (front_ == queue_.size()) {
    queue_.clear();
    heads_.clear();
    front_ = 0;
  }
  return count;
}

}  // namespace chfs::ucx
