#include "ucx/inbound.hh"

#include <cerrno>
#include <cstring>
#include <utility>

#include "ucx/status.hh"

namespace chfs::ucx {

namespace {

// What may wait for slots of one peer. Peers bound what they have under way to less.
constexpr uint32_t kWaitingMax = 1024;
constexpr size_t kWaitingBytesMax = size_t{128} << 20;

// Rendezvous data that nobody wants: its sender's send ends with this status. Data that came already has no sender to
// tell.
ucs_status_t Refuse(bool is_rendezvous) { return is_rendezvous ? UCS_ERR_REJECTED : UCS_OK; }

}  // namespace

Inbound::Inbound(Worker& worker, Pool& pool, Mailbox& mailbox, Requests& requests, Channels& channels)
    : worker_(worker), pool_(pool), mailbox_(mailbox), requests_(requests), channels_(channels) {
  worker_.Listen(
      [](void* self, const void* header, size_t header_bytes, void* data, size_t bytes,
         const ucp_am_recv_param_t* parameters) {
        return static_cast<Inbound*>(self)->OnMessage(static_cast<const std::byte*>(header), header_bytes, data, bytes,
                                                      parameters->recv_attr);
      },
      this);
}

Inbound::~Inbound() { pool_.StopWaiting(this); }

ucs_status_t Inbound::OnMessage(const std::byte* header, size_t header_bytes, void* data, size_t bytes,
                                uint64_t attributes) {
  const bool is_rendezvous = (attributes & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0;
  Envelope envelope{};
  if (header_bytes < sizeof envelope) return Refuse(is_rendezvous);
  std::memcpy(&envelope, header, sizeof envelope);
  Channel* channel = channels_.Find(envelope.channel);
  if (channel == nullptr || !channel->IsSecret(envelope.secret)) return Refuse(is_rendezvous);
  // From here on a fault is the peer's.
  const bool is_whole = envelope.version == kMessageVersion && envelope.head_bytes <= kHeadBytesMax &&
                        envelope.head_bytes % 4 == 0 && header_bytes == sizeof envelope + envelope.head_bytes &&
                        bytes == envelope.data_bytes && bytes <= pool_.PayloadBytes();
  if (!is_whole) channel->Fail(-EPROTO);
  if (!channel->IsAlive()) return Refuse(is_rendezvous);
  return OnAuthentic({channel,
                      envelope.kind,
                      envelope.token,
                      {header + sizeof envelope, envelope.head_bytes},
                      data,
                      envelope.data_bytes,
                      is_rendezvous,
                      (attributes & UCP_AM_RECV_ATTR_FLAG_DATA) != 0});
}

ucs_status_t Inbound::OnAuthentic(const Message& message) {
  Channel& channel = *message.channel;
  switch (message.kind) {
    case Kind::kHello:
    case Kind::kWelcome:
    case Kind::kConfirm:
      return OnGreeting(message);
    case Kind::kRequest:
      if (channel.state == Channel::State::kOpen) return OnRequest(message);
      break;
    case Kind::kReply:
      if (channel.state == Channel::State::kOpen) return OnReply(message);
      break;
    case Kind::kCancel:
      if (message.bytes != 0) break;
      OnCancel(message);
      return UCS_OK;
    case Kind::kBatch:
      if (channel.state == Channel::State::kOpen && !message.is_rendezvous && OnBatch(message)) return UCS_OK;
      break;
  }
  channel.Fail(-EPROTO);
  return Refuse(message.is_rendezvous);
}

ucs_status_t Inbound::OnGreeting(const Message& message) {
  Channel& channel = *message.channel;
  const bool is_greeting = channel.state == Channel::State::kGreeting;
  bool is_awaited = false;
  size_t head_bytes = sizeof(Greeting);
  if (message.kind == Kind::kHello) {
    is_awaited =
        !channel.greeting && (channel.state == Channel::State::kExpecting || (is_greeting && !channel.is_first));
  } else if (message.kind == Kind::kWelcome) {
    is_awaited = !channel.greeting && is_greeting && channel.is_first;
  } else {
    is_awaited = is_greeting && channel.has_welcomed;
    head_bytes = 0;
  }
  if (!is_awaited || message.head.size() != head_bytes || message.bytes != 0) {
    channel.Fail(-EPROTO);
    return Refuse(message.is_rendezvous);
  }
  if (message.kind == Kind::kConfirm) {
    channel.state = Channel::State::kOpen;
  } else {
    std::memcpy(&channel.greeting.emplace(), message.head.data(), sizeof(Greeting));
  }
  channel.Call();
  return UCS_OK;
}

ucs_status_t Inbound::OnRequest(const Message& message) {
  Channel& channel = *message.channel;
  if (message.bytes == 0) {
    mailbox_.Request(channel.number, message.token, message.head, -1, 0);
    return UCS_OK;
  }
  // Whoever came first gets the next slot.
  const int32_t slot = waiting_.empty() ? pool_.AcquireForPeer() : -1;
  if (slot < 0) return Wait(message);
  std::byte* payload = pool_.Payload(static_cast<uint32_t>(slot));
  if (message.is_rendezvous) {
    Begin(channel, Kind::kRequest, message.token, message.head, message.data, payload, message.bytes, slot);
    return UCS_INPROGRESS;
  }
  std::memcpy(payload, message.data, message.bytes);
  mailbox_.Request(channel.number, message.token, message.head, slot, message.bytes);
  return UCS_OK;
}

ucs_status_t Inbound::OnReply(const Message& message) {
  Requests::Entry* entry = requests_.Awaiting(message.token, *message.channel);
  // The request was given up, or there never was one.
  if (entry == nullptr) return UCS_OK;
  if (message.bytes > entry->room) {
    requests_.End(message.token, -EMSGSIZE, {});
    return UCS_OK;
  }
  if (message.bytes == 0) {
    requests_.End(message.token, 0, message.head);
    return UCS_OK;
  }
  std::byte* to = pool_.At(entry->to, message.bytes);
  if (message.is_rendezvous) {
    requests_.Receiving(message.token);
    Begin(*message.channel, Kind::kReply, message.token, message.head, message.data, to, message.bytes, -1);
    return UCS_INPROGRESS;
  }
  std::memcpy(to, message.data, message.bytes);
  requests_.End(message.token, static_cast<int32_t>(message.bytes), message.head);
  return UCS_OK;
}

void Inbound::OnCancel(const Message& message) {
  for (size_t index = with_slot_; index < waiting_.size(); index++) {
    Waiting& waiting = waiting_[index];
    if (waiting.channel != message.channel || waiting.token != message.token) continue;
    Discard(waiting);
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
    return;
  }
}

/// False where it is malformed.
bool Inbound::OnBatch(const Message& message) {
  const auto* parts = static_cast<const std::byte*>(message.data);
  std::span<const std::byte> rest{parts, message.bytes};
  if (!message.head.empty() || rest.size() > kBatchBytesMax) return false;
  while (!rest.empty()) {
    Part part{};
    if (rest.size() < sizeof part) return false;
    std::memcpy(&part, rest.data(), sizeof part);
    rest = rest.subspan(sizeof part);
    if (part.head_bytes > kHeadBytesMax || part.head_bytes % 4 != 0 || part.head_bytes > rest.size()) return false;
    const bool is_simple = part.kind == Kind::kRequest || part.kind == Kind::kReply || part.kind == Kind::kCancel;
    if (!is_simple) return false;
    OnAuthentic({message.channel, part.kind, part.token, rest.first(part.head_bytes), nullptr, 0, false, false});
    rest = rest.subspan(part.head_bytes);
  }
  return true;
}

// --- waiting for slots

ucs_status_t Inbound::Wait(const Message& message) {
  Channel& channel = *message.channel;
  const size_t held = message.is_rendezvous ? 0 : message.bytes;
  if (channel.waiting >= kWaitingMax || channel.waiting_bytes + held > kWaitingBytesMax) {
    channel.Fail(-EPROTO);
    return Refuse(message.is_rendezvous);
  }
  channel.waiting++;
  channel.waiting_bytes += held;
  Waiting& waiting = waiting_.emplace_back();
  waiting.channel = &channel;
  waiting.token = message.token;
  waiting.head.assign(message.head.begin(), message.head.end());
  waiting.bytes = message.bytes;
  waiting.is_rendezvous = message.is_rendezvous;
  waiting.slot = -1;
  pool_.WaitForSlot(this);
  if (message.is_rendezvous || message.can_be_kept) {
    waiting.data = message.data;
    return UCS_INPROGRESS;
  }
  waiting.copy = std::make_unique<std::byte[]>(message.bytes);
  std::memcpy(waiting.copy.get(), message.data, message.bytes);
  waiting.data = nullptr;
  return UCS_OK;
}

void Inbound::OnSlotFree() {
  while (with_slot_ < waiting_.size()) {
    const int32_t slot = pool_.AcquireForPeer();
    if (slot < 0) {
      pool_.WaitForSlot(this);
      return;
    }
    waiting_[with_slot_++].slot = slot;
  }
}

bool Inbound::Admit() {
  if (with_slot_ == 0) return false;
  while (with_slot_ > 0) {
    Waiting waiting = std::move(waiting_.front());
    waiting_.pop_front();
    with_slot_--;
    Place(waiting);
  }
  return true;
}

void Inbound::Place(Waiting& waiting) {
  Channel& channel = *waiting.channel;
  if (!channel.IsAlive()) {
    Discard(waiting);
    return;
  }
  channel.waiting--;
  std::byte* payload = pool_.Payload(static_cast<uint32_t>(waiting.slot));
  if (waiting.is_rendezvous) {
    Begin(channel, Kind::kRequest, waiting.token, waiting.head, waiting.data, payload, waiting.bytes, waiting.slot);
    return;
  }
  channel.waiting_bytes -= waiting.bytes;
  std::memcpy(payload, waiting.copy != nullptr ? waiting.copy.get() : waiting.data, waiting.bytes);
  if (waiting.data != nullptr) ucp_am_data_release(worker_.get(), waiting.data);
  mailbox_.Request(channel.number, waiting.token, waiting.head, waiting.slot, waiting.bytes);
}

void Inbound::Discard(Waiting& waiting) {
  waiting.channel->waiting--;
  if (!waiting.is_rendezvous) waiting.channel->waiting_bytes -= waiting.bytes;
  if (waiting.data != nullptr) ucp_am_data_release(worker_.get(), waiting.data);
  if (waiting.slot >= 0) pool_.Release(static_cast<uint32_t>(waiting.slot));
}

void Inbound::Drop(Channel& channel) {
  if (channel.waiting == 0) return;
  // Slots that are released meanwhile find no waiter, so that the list stays as it is.
  std::deque<Waiting> all = std::exchange(waiting_, {});
  with_slot_ = 0;
  for (Waiting& waiting : all) {
    if (waiting.channel == &channel) {
      Discard(waiting);
      continue;
    }
    if (waiting.slot >= 0) with_slot_++;
    waiting_.push_back(std::move(waiting));
  }
  if (with_slot_ < waiting_.size()) OnSlotFree();
}

// --- receiving

void Inbound::Begin(Channel& channel, Kind kind, uint32_t token, std::span<const std::byte> head, void* description,
                    std::byte* to, uint32_t bytes, int32_t slot) {
  if (free_ == nullptr) {
    receives_.push_back(std::make_unique<Receive>());
    receives_.back()->next = nullptr;
    free_ = receives_.back().get();
  }
  Receive* receive = std::exchange(free_, free_->next);
  receive->owner = this;
  receive->channel = &channel;
  receive->kind = kind;
  receive->token = token;
  receive->slot = slot;
  receive->bytes = bytes;
  receive->head_bytes = static_cast<uint32_t>(head.size());
  Copy(receive->head, head);
  ucp_request_param_t parameters{};
  parameters.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  parameters.user_data = receive;
  parameters.cb.recv_am = [](void* request, ucs_status_t status, size_t, void* user_data) {
    auto* received = static_cast<Receive*>(user_data);
    ucp_request_free(request);
    received->owner->Finish(received, status);
  };
  channel.operations++;
  void* request = ucp_am_recv_data_nbx(worker_.get(), description, to, bytes, &parameters);
  if (!UCS_PTR_IS_PTR(request)) Finish(receive, UCS_PTR_STATUS(request));
}

void Inbound::Finish(Receive* receive, ucs_status_t status) {
  Channel& channel = *receive->channel;
  channel.operations--;
  if (status != UCS_OK) {
    channel.Fail(ErrnoOf(status));
  } else if (channel.IsAlive() && !channel.peer_witness.Vouches()) {
    // The sender gave the channel up: what was read may be anything.
    channel.Fail(-ECONNRESET);
  }
  const std::span<const std::byte> head{receive->head, receive->head_bytes};
  if (receive->kind == Kind::kRequest) {
    if (channel.IsAlive()) {
      mailbox_.Request(channel.number, receive->token, head, receive->slot, receive->bytes);
    } else {
      pool_.Release(static_cast<uint32_t>(receive->slot));
    }
  } else {
    if (channel.IsAlive()) {
      requests_.End(receive->token, static_cast<int32_t>(receive->bytes), head);
    } else {
      requests_.End(receive->token, -ECONNRESET, {});
    }
    requests_.Received(receive->token);
  }
  receive->next = free_;
  free_ = receive;
}

}  // namespace chfs::ucx
