#include "ucx/outbound.hh"

#include <uv.h>

#include <cstddef>
#include <cstring>
#include <utility>

#include "base/assert.hh"
#include "ucx/status.hh"

namespace chfs::ucx {

namespace {

constexpr uint32_t kMessageId = 0;

/// A peer that could go on is not kept waiting for longer.
constexpr uint64_t kGatherNanoseconds = 50'000;

}  // namespace

Send* Outbound::Take(Channel& channel, const Message& message) {
  Assert(message.head.size() <= kHeadBytesMax, "a head is not too long");
  if (free_ == nullptr) {
    sends_.push_back(std::make_unique<Send>());
    sends_.back()->owner = this;
    sends_.back()->next = nullptr;
    free_ = sends_.back().get();
  }
  Send* send = std::exchange(free_, free_->next);
  send->channel = &channel;
  send->next = nullptr;
  send->data = message.data.data();
  send->data_bytes = static_cast<uint32_t>(message.data.size());
  send->slot = message.slot;
  send->request = message.kind == Kind::kRequest ? message.token : kNoToken;
  Envelope envelope{};
  envelope.version = kMessageVersion;
  envelope.kind = message.kind;
  envelope.head_bytes = static_cast<uint16_t>(message.head.size());
  envelope.channel = channel.peer_number;
  std::memcpy(envelope.secret, channel.peer_secret, sizeof envelope.secret);
  envelope.token = message.token;
  envelope.data_bytes = send->data_bytes;
  std::memcpy(send->header, &envelope, sizeof envelope);
  Copy(send->header + sizeof envelope, message.head);
  send->header_bytes = static_cast<uint32_t>(sizeof envelope + message.head.size());
  if (send->request != kNoToken) requests_.Sending(send->request);
  return send;
}

void Outbound::Post(Channel& channel, const Message& message) {
  if (is_corked_ && channel.state == Channel::State::kOpen && message.data.empty() && message.slot < 0) {
    Gather(channel, message);
    return;
  }
  SendBatch(channel);
  Send* send = Take(channel, message);
  if (channel.state == Channel::State::kOpen) {
    Start(send);
    return;
  }
  *channel.queue_end = send;
  channel.queue_end = &send->next;
}

/// Nothing has to be kept for what is gathered, so a request counts as sent from here on.
void Outbound::Gather(Channel& channel, const Message& message) {
  const size_t bytes = sizeof(Part) + message.head.size();
  if (channel.batch != nullptr && channel.batch->data_bytes + bytes > kBatchBytesMax) SendBatch(channel);
  const uint64_t now = uv_hrtime();
  if (channel.batch == nullptr) {
    Send* batch = channel.batch = Take(channel, {Kind::kBatch, 0, {}, {}});
    if (batch->parts == nullptr) batch->parts = std::make_unique<std::byte[]>(kBatchBytesMax);
    batch->data = batch->parts.get();
    channel.gathers_since = now;
    gathering_.push_back(&channel);
  }
  Part part{};
  part.kind = message.kind;
  part.head_bytes = static_cast<uint16_t>(message.head.size());
  part.token = message.token;
  std::byte* to = channel.batch->parts.get() + channel.batch->data_bytes;
  std::memcpy(to, &part, sizeof part);
  Copy(to + sizeof part, message.head);
  channel.batch->data_bytes += static_cast<uint32_t>(bytes);
  if (now - channel.gathers_since > kGatherNanoseconds) SendBatch(channel);
}

void Outbound::SendBatch(Channel& channel) {
  if (channel.batch == nullptr) return;
  std::erase(gathering_, &channel);
  Send* batch = std::exchange(channel.batch, nullptr);
  std::memcpy(batch->header + offsetof(Envelope, data_bytes), &batch->data_bytes, sizeof batch->data_bytes);
  if (channel.IsAlive()) {
    Start(batch);
  } else {
    Finish(batch, UCS_ERR_CANCELED);
  }
}

void Outbound::Uncork() {
  is_corked_ = false;
  while (!gathering_.empty()) SendBatch(*gathering_.back());
}

bool Outbound::Greet(Channel& channel, Kind kind, const Greeting& greeting, bool may_wait) {
  const uint32_t attributes = may_wait ? 0 : UCP_OP_ATTR_FLAG_FORCE_IMM_CMPL;
  return Start(Take(channel, {kind, 0, std::as_bytes(std::span(&greeting, 1)), {}}), attributes) != UCS_ERR_NO_RESOURCE;
}

void Outbound::Confirm(Channel& channel) {
  // With this flag UCX sends it only when the endpoint knows its counterpart.
  Start(Take(channel, {Kind::kConfirm, 0, {}, {}}), 0, UCP_AM_SEND_FLAG_REPLY);
}

/// UCS_ERR_NO_RESOURCE, where the attributes forbid to wait, is no error: then nothing has happened.
ucs_status_t Outbound::Start(Send* send, uint32_t attributes, uint32_t flags) {
  ucp_request_param_t parameters{};
  parameters.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS | attributes;
  parameters.flags = flags;
  parameters.user_data = send;
  parameters.cb.send = [](void* request, ucs_status_t status, void* user_data) {
    auto* sent = static_cast<Send*>(user_data);
    ucp_request_free(request);
    sent->channel->operations--;
    sent->owner->Finish(sent, status);
  };
  send->channel->operations++;
  void* request = ucp_am_send_nbx(send->channel->endpoint, kMessageId, send->header, send->header_bytes, send->data,
                                  send->data_bytes, &parameters);
  if (UCS_PTR_IS_PTR(request)) return UCS_INPROGRESS;
  send->channel->operations--;
  const ucs_status_t status = UCS_PTR_STATUS(request);
  const bool is_put_off = attributes != 0 && status == UCS_ERR_NO_RESOURCE;
  Finish(send, is_put_off ? UCS_OK : status);
  return status;
}

void Outbound::Finish(Send* send, ucs_status_t status) {
  // Before anything that it held is used for something else.
  if (status != UCS_OK) send->channel->Fail(ErrnoOf(status));
  if (send->slot >= 0) {
    pool_.Release(static_cast<uint32_t>(send->slot));
    mailbox_.SlotFree();
  }
  if (send->request != kNoToken) requests_.Sent(send->request);
  send->next = free_;
  free_ = send;
}

void Outbound::Flush(Channel& channel) {
  while (channel.queue != nullptr && channel.state == Channel::State::kOpen) {
    Send* send = channel.queue;
    channel.queue = send->next;
    if (channel.queue == nullptr) channel.queue_end = &channel.queue;
    send->next = nullptr;
    Start(send);
  }
}

void Outbound::Drop(Channel& channel) {
  if (channel.batch != nullptr) {
    std::erase(gathering_, &channel);
    Finish(std::exchange(channel.batch, nullptr), UCS_ERR_CANCELED);
  }
  Send* send = std::exchange(channel.queue, nullptr);
  channel.queue_end = &channel.queue;
  while (send != nullptr) Finish(std::exchange(send, send->next), UCS_ERR_CANCELED);
}

bool Outbound::Withdraw(Channel& channel, uint32_t request) {
  for (Send** at = &channel.queue; *at != nullptr; at = &(*at)->next) {
    Send* send = *at;
    if (send->request != request) continue;
    *at = send->next;
    if (*at == nullptr) channel.queue_end = at;
    Finish(send, UCS_OK);
    return true;
  }
  return false;
}

}  // namespace chfs::ucx
