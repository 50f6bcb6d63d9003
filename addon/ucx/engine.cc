#include "ucx/engine.hh"

#include <uv.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/assert.hh"
#include "ucx/status.hh"

namespace chfs::ucx {

namespace {

/// So much at a time: the loop has others to serve, and what was received must be taken away.
constexpr int kProgressMax = 64;

/// Where it did less than this and there is news, that is hardly followed by more: asking again costs a system call on
/// TCP.
constexpr unsigned kProgressWorthwhile = 4;

/// So many endpoints are made for nothing for one channel, which takes about 0.1 s.
constexpr uint32_t kEndpointsBehindMax = 1000;

/// A greeting must go out at once, without a handshake of UCX (see below). A transport that cannot do that, if there is
/// one, gets it after a while in any case.
constexpr uint64_t kGreetingNanoseconds = 3'000'000'000;

/// How long the end of an environment may wait for UCX to let go.
constexpr uint64_t kShutNanoseconds = 2'000'000'000;

void OnEndpointError(void* channel, ucp_ep_h, ucs_status_t status) {
  static_cast<Channel*>(channel)->Fail(ErrnoOf(status));
}

}  // namespace

Engine::Engine(std::shared_ptr<Pool> pool)
    : pool_(std::move(pool)), mailbox_(*pool_), requests_(mailbox_), outbound_(*pool_, mailbox_, requests_) {}

std::string Engine::Open(const Worker::Settings& settings) {
  std::string failure = worker_.Open(settings);
  if (!failure.empty()) return failure;
  address_ = Address::New(worker_.Address());
  encoded_address_ = address_.Encode();
  if (encoded_address_.size() > Address::kBytesMax) return "the address is too long: choose an interface";
  inbound_ = std::make_unique<Inbound>(worker_, *pool_, mailbox_, requests_, channels_);
  return "";
}

int32_t Engine::Expect(const uint8_t* secret) {
  const Channel* channel = channels_.Add(secret);
  return channel == nullptr ? -EMFILE : static_cast<int32_t>(channel->number);
}

// --- endpoints
//
// UCX makes a pair of endpoints by a handshake of its own, REQUEST and REPLY, when the first message that needs the
// pair is to be sent. UCX 1.13 has three faults there, which end a process by an assertion or a channel for ever:
// - It pairs the nth endpoint that a worker makes to another with the nth that the other makes to it. Where one end was
//   made and the other not, all later ones are paired with one that is gone. So HELLO and WELCOME carry the number, and
//   whoever is behind makes as many as are missing.
// - REPLY waits where the connection back is not up. If the peer dies meanwhile, whoever was to reply dies, too. So
//   HELLO and WELCOME are messages that need no pair, and when both have arrived there are connections both ways.
// - If both ends begin the handshake and one of them closes its endpoint before it is through, the other one dies. So
//   only the first begins it, by CONFIRM, when the second has its endpoint; the second sends nothing before.

int32_t Engine::Connect(uint32_t number, std::span<const std::byte> address, uint32_t peer_number,
                        const uint8_t* peer_secret) {
  Channel* channel = channels_.Find(number);
  Address peer{};
  if (const int32_t error = Address::Decode(address, &peer); error != 0) return error;
  const int order = std::memcmp(address_.id, peer.id, sizeof peer.id);
  if (channel == nullptr || channel->state != Channel::State::kExpecting || order == 0) return -EINVAL;
  channel->peer_number = peer_number;
  std::memcpy(channel->peer_secret, peer_secret, kSecretBytes);
  std::memcpy(channel->peer_id, peer.id, sizeof peer.id);
  channel->peer_address = std::move(peer.worker);
  channel->is_first = order < 0;
  if (const int32_t error = MakeEndpoint(*channel, OnEndpointError, &channel->endpoint); error != 0) return error;
  channel->state = Channel::State::kGreeting;
  channel->must_greet = channel->is_first;
  channel->Call();
  return 0;
}

int32_t Engine::MakeEndpoint(Channel& channel, ucp_err_handler_cb_t on_error, ucp_ep_h* out) {
  ucp_ep_params_t parameters{};
  parameters.field_mask =
      UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | UCP_EP_PARAM_FIELD_ERR_HANDLER;
  parameters.address = reinterpret_cast<const ucp_address_t*>(channel.peer_address.data());
  parameters.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  parameters.err_handler = {on_error, &channel};
  channel.ordinal = ++endpoints_[{channel.peer_id[0], channel.peer_id[1]}];
  const ucs_status_t status = ucp_ep_create(worker_.get(), &parameters, out);
  return status == UCS_OK ? 0 : ErrnoOf(status);
}

/// Where the peer's endpoint has a higher number, makes one with the same.
int32_t Engine::Align(Channel& channel) {
  const uint32_t ordinal = channel.greeting->ordinal;
  if (channel.ordinal >= ordinal) return 0;
  CloseEndpoint(std::exchange(channel.endpoint, nullptr));
  const uint32_t& made = endpoints_[{channel.peer_id[0], channel.peer_id[1]}];
  for (uint32_t count = 0; made + 1 < ordinal; count++) {
    // The next channel goes on from here.
    if (count == kEndpointsBehindMax) return -ECONNRESET;
    ucp_ep_h unused = nullptr;
    const int32_t error = MakeEndpoint(channel, [](void*, ucp_ep_h, ucs_status_t) {}, &unused);
    if (error != 0) return error;
    CloseEndpoint(unused);
  }
  // Another channel has taken that number: it takes another attempt.
  if (made >= ordinal) return -ECONNRESET;
  return MakeEndpoint(channel, OnEndpointError, &channel.endpoint);
}

void Engine::CloseEndpoint(ucp_ep_h endpoint) {
  ucp_request_param_t parameters{};
  parameters.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
  parameters.flags = UCP_EP_CLOSE_FLAG_FORCE;
  void* request = ucp_ep_close_nbx(endpoint, &parameters);
  if (UCS_PTR_IS_PTR(request)) closing_.push_back(request);
  is_closing_ = true;
}

// --- the life of a channel

void Engine::Attend(Channel& channel) {
  switch (channel.state) {
    case Channel::State::kGreeting:
      AttendGreeting(channel);
      return;
    case Channel::State::kOpen:
      outbound_.Flush(channel);
      return;
    case Channel::State::kFailed:
      Unbind(channel);
      mailbox_.Failed(channel.number, channel.error);
      return;
    case Channel::State::kExpecting:
    case Channel::State::kClosed:
      return;
  }
}

void Engine::AttendGreeting(Channel& channel) {
  if (channel.greeting && !channel.has_welcomed && !channel.must_greet) {
    if (const int32_t error = Align(channel); error != 0) {
      channel.Fail(error);
      return;
    }
    channel.peer_witness = PeerWitness(channel.greeting->sign);
    if (channel.is_first) {
      channel.state = Channel::State::kOpen;
      outbound_.Confirm(channel);
      outbound_.Flush(channel);
      return;
    }
    channel.must_greet = true;
  }
  if (channel.must_greet) Greet(channel);
}

/// Tries to send HELLO or WELCOME, and tries again whenever the loop was woken.
void Engine::Greet(Channel& channel) {
  const uint64_t now = uv_hrtime();
  if (channel.greets_since == 0) channel.greets_since = now;
  const bool may_wait = now - channel.greets_since > kGreetingNanoseconds;
  const Kind kind = channel.is_first ? Kind::kHello : Kind::kWelcome;
  // WELCOME may be answered before it is known here that it went out.
  channel.has_welcomed = !channel.is_first;
  channel.must_greet = !outbound_.Greet(channel, kind, {channels_.SignOf(channel), channel.ordinal, 0}, may_wait);
  if (channel.must_greet) greeting_.push_back(channel.number);
}

/// Takes everything away from a channel that failed or is closed.
void Engine::Unbind(Channel& channel) {
  channel.Renounce();
  outbound_.Drop(channel);
  inbound_->Drop(channel);
  if (channel.endpoint != nullptr) CloseEndpoint(std::exchange(channel.endpoint, nullptr));
  requests_.EndAll(channel, -ECONNRESET);
}

void Engine::Close(uint32_t number) {
  Channel* channel = channels_.Find(number);
  if (channel == nullptr) return;
  channel->state = Channel::State::kClosed;
  mailbox_.Forget(number);
  Unbind(*channel);
  channels_.Remove(*channel);
  is_closing_ = true;
}

void Engine::CloseAll() {
  for (const Channel* channel : channels_.All()) Close(channel->number);
}

// --- messages

uint32_t Engine::Request(uint32_t number, std::span<const std::byte> head, uint32_t at, uint32_t bytes, uint32_t to,
                         uint32_t room) {
  Channel* channel = channels_.Find(number);
  const bool can_send = channel != nullptr && channel->IsAlive() && channel->state != Channel::State::kExpecting;
  const uint32_t token = requests_.Open(can_send ? channel : nullptr, to, room);
  if (can_send) {
    outbound_.Post(*channel, {Kind::kRequest, token, head, {pool_->At(at, bytes), bytes}});
  } else {
    requests_.End(token, -ECONNRESET, {});
  }
  return token;
}

void Engine::Cancel(uint32_t token) {
  Requests::Entry* entry = requests_.Find(token);
  if (entry == nullptr || entry->channel == nullptr || entry->is_receiving || entry->has_result) return;
  Channel& channel = *entry->channel;
  requests_.End(token, -ECANCELED, {});
  if (!entry->is_sending || outbound_.Withdraw(channel, token)) return;
  // Its data still lies here and may wait for a slot there.
  if (channel.state == Channel::State::kOpen) outbound_.Post(channel, {Kind::kCancel, token, {}, {}});
}

void Engine::Reply(uint32_t number, uint32_t token, std::span<const std::byte> head, uint32_t at, uint32_t bytes,
                   int32_t slot) {
  Channel* channel = channels_.Find(number);
  if (channel != nullptr && channel->state == Channel::State::kOpen) {
    outbound_.Post(*channel, {Kind::kReply, token, head, {pool_->At(at, bytes), bytes}, slot});
    return;
  }
  if (slot < 0) return;
  pool_->Release(static_cast<uint32_t>(slot));
  mailbox_.SlotFree();
}

// --- work

bool Engine::Work() {
  bool any = false;
  for (int count = 0; count < kProgressMax; count++) {
    const unsigned done = worker_.Progress();
    any |= done > 0;
    if (done == 0 || (done < kProgressWorthwhile && !mailbox_.IsEmpty())) break;
  }
  for (const uint32_t number : std::exchange(greeting_, {})) {
    Channel* channel = channels_.Find(number);
    if (channel != nullptr && channel->state == Channel::State::kGreeting) Greet(*channel);
  }
  for (Channel* channel : channels_.TakeCalling()) {
    Attend(*channel);
    any = true;
  }
  if (inbound_->Admit()) any = true;
  if (is_closing_) is_closing_ = CheckClosing();
  return any;
}

bool Engine::CheckClosing() {
  std::erase_if(closing_, [](void* request) {
    if (ucp_request_check_status(request) == UCS_INPROGRESS) return false;
    ucp_request_free(request);
    return true;
  });
  const bool lingers = channels_.Reap();
  return lingers || !closing_.empty();
}

void Engine::Shut() {
  if (worker_.get() == nullptr) return;
  CloseAll();
  const uint64_t deadline = uv_hrtime() + kShutNanoseconds;
  is_closing_ = true;
  while (is_closing_ && uv_hrtime() < deadline) Work();
  Assert(!is_closing_, "UCX lets go of the memory of a closed endpoint");
  worker_.Close();
}

std::string Engine::Describe(uint32_t number) const {
  const Channel* channel = channels_.Find(number);
  if (channel == nullptr || channel->endpoint == nullptr) return "";
  char* text = nullptr;
  size_t bytes = 0;
  FILE* stream = ::open_memstream(&text, &bytes);
  if (stream == nullptr) return "";
  ucp_ep_print_info(channel->endpoint, stream);
  ::fclose(stream);
  std::string description(text, bytes);
  ::free(text);
  return description;
}

}  // namespace chfs::ucx
