// A process that reaches a transport's worker and sends it nonsense: ucx-stranger ADDRESS SEED COUNT [CHANNEL SECRET].
// Without a channel and its secret nothing that it sends may have any effect. With them it is the channel's peer,
// greets as it should, and then breaks the protocol in every way. ADDRESS and SECRET are hexadecimal. It writes its own
// address and waits for a line before it begins.
#include <ucp/api/ucp.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "ucx/address.hh"
#include "ucx/message.hh"

namespace {

using namespace chfs::ucx;

std::vector<std::byte> Unhex(const char* text) {
  std::vector<std::byte> bytes;
  for (; text[0] != 0 && text[1] != 0; text += 2) {
    bytes.push_back(static_cast<std::byte>(std::strtoul(std::string(text, 2).c_str(), nullptr, 16)));
  }
  return bytes;
}

[[noreturn]] void Die(const char* what) {
  std::fprintf(stderr, "ucx-stranger: %s\n", what);
  std::exit(1);
}

struct Stranger {
  ucp_worker_h worker = nullptr;
  ucp_ep_h endpoint = nullptr;
  std::mt19937 chance;
  Address own{};
  bool is_partner = false;
  bool is_open = false;
  bool is_greeted = false;
  uint32_t channel = 0;
  uint8_t secret[kSecretBytes] = {};
  /// Tokens of requests that have come.
  std::deque<uint32_t> tokens;
  /// What is sent stays in memory: it may be fetched at any time.
  std::vector<std::unique_ptr<std::vector<std::byte>>> kept;
  size_t pending = 0;

  uint32_t Below(size_t bound) { return static_cast<uint32_t>(chance() % bound); }

  size_t Size() {
    constexpr size_t kSizes[] = {0,      1,      64,      8000,    8256,    65536,  131071,
                                 131072, 131073, 1048575, 1048576, 1048577, 5000000};
    const uint32_t kind = Below(20);
    return kind < std::size(kSizes) ? kSizes[kind] : Below(300);
  }

  std::vector<std::byte>& Keep(size_t bytes) {
    kept.push_back(std::make_unique<std::vector<std::byte>>(bytes));
    for (size_t at = 0; at < bytes && at < 4096; at++) (*kept.back())[at] = static_cast<std::byte>(Below(256));
    return *kept.back();
  }

  void Send(unsigned id, const std::vector<std::byte>& header, const std::vector<std::byte>& data, uint32_t flags) {
    ucp_request_param_t parameters{};
    parameters.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS;
    parameters.flags = flags;
    parameters.user_data = this;
    parameters.cb.send = [](void* request, ucs_status_t, void* self) {
      static_cast<Stranger*>(self)->pending--;
      ucp_request_free(request);
    };
    void* request = ucp_am_send_nbx(endpoint, id, header.data(), header.size(), data.data(), data.size(), &parameters);
    if (UCS_PTR_IS_PTR(request)) pending++;
  }

  uint32_t Flags() {
    constexpr uint32_t kFlags[] = {0, 0, 0, UCP_AM_SEND_FLAG_EAGER, UCP_AM_SEND_FLAG_RNDV, UCP_AM_SEND_FLAG_REPLY};
    return kFlags[Below(std::size(kFlags))];
  }

  void Garbage() {
    const size_t bytes = Below(4) == 0 ? Below(8000) : Below(100);
    Send(Below(3) == 0 ? Below(65536) : 0, Keep(bytes), Keep(Size()), Flags());
  }

  void Put(Envelope envelope, size_t head_bytes, const std::vector<std::byte>& data) {
    std::vector<std::byte>& header = Keep(sizeof envelope + head_bytes);
    std::memcpy(header.data(), &envelope, sizeof envelope);
    Send(0, header, data, Flags());
  }

  Envelope Proper(Kind kind) {
    Envelope envelope{};
    envelope.version = kMessageVersion;
    envelope.kind = kind;
    envelope.channel = channel;
    std::memcpy(envelope.secret, secret, sizeof secret);
    return envelope;
  }

  void Greet(Kind kind) {
    Greeting greeting{};
    greeting.ordinal = 1;
    // Where to look whether we live: nowhere, or anywhere.
    if (Below(2) == 0) {
      greeting.sign = {chance(), chance(), chance(), chance(), static_cast<int32_t>(chance()), 0};
    }
    Envelope envelope = Proper(kind);
    envelope.head_bytes = kind == Kind::kConfirm ? 0 : sizeof greeting;
    std::vector<std::byte>& header = Keep(sizeof envelope + envelope.head_bytes);
    std::memcpy(header.data(), &envelope, sizeof envelope);
    std::memcpy(header.data() + sizeof envelope, &greeting, envelope.head_bytes);
    Send(0, header, {}, kind == Kind::kConfirm ? UCP_AM_SEND_FLAG_REPLY : 0);
  }

  /// A batch that has at most one fault.
  void DamagedBatch() {
    std::vector<std::byte>& data = Keep(0);
    for (uint32_t left = 1 + Below(12); left > 0; left--) {
      Part part{};
      constexpr Kind kKinds[] = {Kind::kRequest, Kind::kReply, Kind::kCancel};
      part.kind = Below(60) == 0 ? static_cast<Kind>(Below(256)) : kKinds[Below(std::size(kKinds))];
      part.token = !tokens.empty() && Below(2) == 0 ? tokens[Below(tokens.size())] : chance();
      const size_t head_bytes = Below(60) == 0 ? kHeadBytesMax : Below(16) * 4;
      part.head_bytes = static_cast<uint16_t>(Below(60) == 0 ? Below(65536) : head_bytes);
      const auto* first = reinterpret_cast<const std::byte*>(&part);
      data.insert(data.end(), first, first + sizeof part);
      data.insert(data.end(), head_bytes, std::byte{7});
    }
    if (Below(10) == 0) data.resize(Below(data.size() + 200));
    Envelope envelope = Proper(Kind::kBatch);
    envelope.data_bytes = static_cast<uint32_t>(data.size());
    Put(envelope, 0, data);
  }

  /// A message that has at most one fault.
  void Damaged() {
    if (Below(3) == 0) {
      DamagedBatch();
      return;
    }
    Envelope envelope = Proper(static_cast<Kind>(1 + Below(7)));
    if (Below(2) == 0) envelope.kind = Below(2) == 0 ? Kind::kRequest : Kind::kReply;
    envelope.token = chance();
    if (!tokens.empty() && Below(2) == 0) {
      envelope.token = tokens.front();
      if (Below(3) == 0) tokens.pop_front();
    }
    std::vector<std::byte>& data = Keep(Size());
    size_t head_bytes = Below(16) * 4;
    if (Below(20) == 0) head_bytes = kHeadBytesMax;
    envelope.head_bytes = static_cast<uint16_t>(head_bytes);
    envelope.data_bytes = static_cast<uint32_t>(data.size());
    switch (Below(12)) {
      case 0:
        envelope.head_bytes = static_cast<uint16_t>(Below(65536));
        break;
      case 1:
        head_bytes = Below(6000);
        break;
      case 2:
        envelope.version = static_cast<uint8_t>(Below(256));
        break;
      case 3:
        envelope.data_bytes = static_cast<uint32_t>(chance());
        break;
      case 4:
        envelope.kind = static_cast<Kind>(Below(256));
        break;
      case 5:
        envelope.secret[Below(kSecretBytes)] ^= 1;
        break;
      case 6:
        envelope.channel = Below(100);
        break;
      case 7:
        head_bytes = kHeadBytesMax + 4;
        envelope.head_bytes = static_cast<uint16_t>(head_bytes);
        break;
      default:
        break;
    }
    Put(envelope, head_bytes, data);
  }

  ucs_status_t OnMessage(const void* header, size_t bytes) {
    Envelope envelope{};
    if (bytes < sizeof envelope) return UCS_OK;
    std::memcpy(&envelope, header, sizeof envelope);
    if (envelope.kind == Kind::kHello || envelope.kind == Kind::kWelcome) is_greeted = true;
    if (envelope.kind == Kind::kConfirm) is_open = true;
    if (envelope.kind == Kind::kRequest) tokens.push_back(envelope.token);
    return UCS_OK;
  }

  void Progress(int rounds) {
    for (int round = 0; round < rounds; round++) ucp_worker_progress(worker);
  }

  /// Until both ends have greeted properly.
  void Open(bool is_first) {
    if (is_first) Greet(Kind::kHello);
    while (!is_greeted) Progress(1);
    Greet(is_first ? Kind::kConfirm : Kind::kWelcome);
    while (!is_first && !is_open) Progress(1);
    Progress(1000);
  }
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 4 && count != 6) Die("usage: ucx-stranger ADDRESS SEED COUNT [CHANNEL SECRET]");
  Stranger stranger;
  Address peer{};
  if (Address::Decode(Unhex(arguments[1]), &peer) != 0) Die("no address");
  stranger.chance.seed(static_cast<uint32_t>(std::strtoul(arguments[2], nullptr, 10)));
  if (count == 6) {
    stranger.is_partner = true;
    stranger.channel = static_cast<uint32_t>(std::strtoul(arguments[4], nullptr, 10));
    std::memcpy(stranger.secret, Unhex(arguments[5]).data(), kSecretBytes);
  }
  ucp_params_t context{};
  context.field_mask = UCP_PARAM_FIELD_FEATURES;
  context.features = UCP_FEATURE_AM;
  ucp_context_h ucp = nullptr;
  if (ucp_init(&context, nullptr, &ucp) != UCS_OK) Die("ucp_init");
  ucp_worker_params_t worker{};
  if (ucp_worker_create(ucp, &worker, &stranger.worker) != UCS_OK) Die("ucp_worker_create");
  ucp_am_handler_param_t handler{};
  handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG;
  handler.arg = &stranger;
  handler.cb = [](void* self, const void* header, size_t bytes, void*, size_t, const ucp_am_recv_param_t*) {
    return static_cast<Stranger*>(self)->OnMessage(header, bytes);
  };
  ucp_worker_set_am_recv_handler(stranger.worker, &handler);
  ucp_address_t* address = nullptr;
  size_t bytes = 0;
  ucp_worker_get_address(stranger.worker, &address, &bytes);
  stranger.own = Address::New({reinterpret_cast<std::byte*>(address), bytes});
  for (const std::byte byte : stranger.own.Encode()) std::printf("%02x", static_cast<unsigned>(byte));
  std::printf("\n");
  std::fflush(stdout);
  if (std::getchar() == EOF) return 0;
  ucp_ep_params_t endpoint{};
  endpoint.field_mask =
      UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | UCP_EP_PARAM_FIELD_ERR_HANDLER;
  endpoint.address = reinterpret_cast<const ucp_address_t*>(peer.worker.data());
  endpoint.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  endpoint.err_handler.cb = [](void*, ucp_ep_h, ucs_status_t) { std::exit(0); };
  if (ucp_ep_create(stranger.worker, &endpoint, &stranger.endpoint) != UCS_OK) Die("ucp_ep_create");
  if (stranger.is_partner) stranger.Open(std::memcmp(stranger.own.id, peer.id, sizeof peer.id) < 0);
  const long total = std::strtol(arguments[3], nullptr, 10);
  for (long sent = 0; sent < total; sent++) {
    if (stranger.is_partner) {
      stranger.Damaged();
    } else {
      stranger.Garbage();
    }
    stranger.Progress(20);
  }
  for (int round = 0; round < 2000000 && stranger.pending > 0; round++) stranger.Progress(1);
  // Without a word: its sends may still wait to be fetched.
  std::_Exit(0);
}
