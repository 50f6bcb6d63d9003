#include "ucx/requests.hh"

#include "base/assert.hh"

namespace chfs::ucx {

namespace {

// A token is a positive 32-bit number for JavaScript.
constexpr uint32_t kIndexBits = 16;
constexpr uint32_t kGenerationMax = 0x7fff;

uint32_t IndexOf(uint32_t token) { return token & ((1u << kIndexBits) - 1); }
uint32_t TokenOf(uint32_t index, uint16_t generation) {
  return static_cast<uint32_t>(generation) << kIndexBits | index;
}

}  // namespace

void Requests::Grow() {
  const auto first = static_cast<uint32_t>(entries_.size());
  Assert(first < kCountMax, "callers bound what they ask for at a time");
  entries_.resize(first + kGrowth);
  for (uint32_t index = first; index < first + kGrowth; index++) free_.push_back(static_cast<uint16_t>(index));
}

uint32_t Requests::Open(Channel* channel, uint32_t to, uint32_t room) {
  if (free_.empty()) Grow();
  const uint32_t index = free_.front();
  free_.pop_front();
  Entry& entry = entries_[index];
  entry.channel = channel;
  entry.to = to;
  entry.room = room;
  entry.is_open = true;
  open_++;
  return TokenOf(index, entry.generation);
}

Requests::Entry* Requests::Find(uint32_t token) {
  const uint32_t index = IndexOf(token);
  if (index >= entries_.size()) return nullptr;
  Entry& entry = entries_[index];
  return entry.is_open && TokenOf(index, entry.generation) == token ? &entry : nullptr;
}

Requests::Entry* Requests::Awaiting(uint32_t token, const Channel& channel) {
  Entry* entry = Find(token);
  if (entry == nullptr || entry->channel != &channel || entry->is_receiving || entry->has_result) return nullptr;
  return entry;
}

void Requests::Sending(uint32_t token) { Find(token)->is_sending = true; }

void Requests::Receiving(uint32_t token) { Find(token)->is_receiving = true; }

void Requests::Sent(uint32_t token) {
  Entry* entry = Find(token);
  entry->is_sending = false;
  Settle(token, *entry);
}

void Requests::Received(uint32_t token) {
  Entry* entry = Find(token);
  entry->is_receiving = false;
  Settle(token, *entry);
}

void Requests::End(uint32_t token, int32_t result, std::span<const std::byte> head) {
  Entry* entry = Find(token);
  if (entry->has_result) return;
  entry->has_result = true;
  entry->result = result;
  if (entry->is_sending || entry->is_receiving) {
    entry->head.assign(head.begin(), head.end());
  } else {
    Finish(token, *entry, head);
  }
}

void Requests::EndAll(const Channel& channel, int32_t error) {
  for (uint32_t index = 0; index < entries_.size(); index++) {
    Entry& entry = entries_[index];
    if (!entry.is_open || entry.channel != &channel) continue;
    // What has come is not delivered any more, even if it only waits for the request's own data to be out.
    entry.has_result = true;
    entry.result = error;
    entry.head.clear();
    Settle(TokenOf(index, entry.generation), entry);
  }
}

void Requests::Settle(uint32_t token, Entry& entry) {
  if (entry.has_result && !entry.is_sending && !entry.is_receiving) Finish(token, entry, entry.head);
}

void Requests::Finish(uint32_t token, Entry& entry, std::span<const std::byte> head) {
  mailbox_.End(entry.channel == nullptr ? 0 : entry.channel->number, token, entry.result, head);
  entry.channel = nullptr;
  entry.is_open = false;
  entry.has_result = false;
  entry.head.clear();
  open_--;
}

void Requests::Delivered(uint32_t token) {
  const uint32_t index = IndexOf(token);
  entries_[index].generation = static_cast<uint16_t>((entries_[index].generation + 1) & kGenerationMax);
  free_.push_back(static_cast<uint16_t>(index));
}

}  // namespace chfs::ucx
