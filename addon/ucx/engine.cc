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

/// So many endpoints are made for nothing for one channel, which takes about 0.1 s.
constexpr uint32_t kEndpointsBehindMax = 1000;

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
// UCX pairs the nth endpoint that a worker makes to another with the nth that the other makes to it, and an endpoint
// whose counterpart is long closed never works. So only one side of a pair of transports counts, the one with the lower
// id: it makes its endpoint first and says its number in HELLO; the other one makes as many as it is behind. HELLO goes
// out only when UCX's own handshake has made the other end's half of the endpoint: two handshakes at once, one of which
// is broken off, would abort the peer's process by an assertion.

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
  if (!channel->is_first) {
    channel->state = Channel::State::kGreeting;
    channel->Call();
    return 0;
  }
  Greeting greeting{channels_.SignOf(*channel), endpoints_[{peer.id[0], peer.id[1]}], 0};
  if (const int32_t error = MakeEndpoint(*channel, OnEndpointError, &channel->endpoint); error != 0) return error;
  channel->state = Channel::State::kGreeting;
  outbound_.Greet(*channel, Kind::kHello, greeting);
  return 0;
}

int32_t Engine::MakeEndpoint(Channel& channel, void (*on_error)(void*, ucp_ep_h, ucs_status_t), ucp_ep_h* out) {
  ucp_ep_params_t parameters{};
  parameters.field_mask =
      UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | UCP_EP_PARAM_FIELD_ERR_HANDLER;
  parameters.address = reinterpret_cast<const ucp_address_t*>(channel.peer_address.data());
  parameters.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  parameters.err_handler = {on_error, &channel};
  endpoints_[{channel.peer_id[0], channel.peer_id[1]}]++;
  const ucs_status_t status = ucp_ep_create(worker_.get(), &parameters, out);
  return status == UCS_OK ? 0 : ErrnoOf(status);
}

/// Makes the endpoint that belongs to the peer's.
int32_t Engine::Follow(Channel& channel) {
  uint32_t& made = endpoints_[{channel.peer_id[0], channel.peer_id[1]}];
  if (channel.hello->endpoints_before < made) return -EPROTO;
  for (uint32_t count = 0; made < channel.hello->endpoints_before; count++) {
    // The next channel goes on from here.
    if (count == kEndpointsBehindMax) return -ECONNRESET;
    ucp_ep_h unused = nullptr;
    const int32_t error = MakeEndpoint(channel, [](void*, ucp_ep_h, ucs_status_t) {}, &unused);
    if (error != 0) return error;
    CloseEndpoint(unused);
  }
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
      if (channel.is_first || !channel.hello) return;
      if (const int32_t error = Follow(channel); error != 0) {
        channel.Fail(error);
        return;
      }
      channel.peer_witness = PeerWitness(channel.hello->sign);
      outbound_.Greet(channel, Kind::kWelcome, {channels_.SignOf(channel), 0, 0});
      if (channel.state == Channel::State::kGreeting) channel.state = Channel::State::kOpen;
      [[fallthrough]];
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
  for (int count = 0; count < kProgressMax && worker_.Progress(); count++) any = true;
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
