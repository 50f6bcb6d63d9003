#include "ucx/address.hh"

#include <sys/random.h>
#include <ucp/api/ucp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/assert.hh"
#include "ucx/message.hh"

namespace chfs::ucx {

namespace {

constexpr char kMagic[4] = {'C', 'H', 'U', 'X'};

struct Header {
  char magic[4];
  uint16_t message_version;
  /// Of UCX: what its workers say to each other changes with its versions.
  uint8_t major;
  uint8_t minor;
  uint64_t id[2];
  uint64_t settings;
  /// Over the fields before it, and the worker's address that follows.
  uint64_t checksum;
};
static_assert(sizeof(Header) == 40);

/// Of those settings in the environment of whose sizes both ends must be of one mind. UCX does not compare them: a
/// queue of shared memory gets stuck for everybody, and a piece of TCP may be longer than the receiver's buffer.
uint64_t SettingsHash() {
  std::vector<std::string_view> settings;
  for (char** variable = environ; *variable != nullptr; variable++) {
    const std::string_view setting = *variable;
    for (const std::string_view prefix :
         {"UCX_POSIX_", "UCX_SYSV_", "UCX_MM_", "UCX_TCP_TX_SEG_SIZE", "UCX_TCP_RX_SEG_SIZE"}) {
      if (setting.starts_with(prefix)) settings.push_back(setting);
    }
  }
  std::sort(settings.begin(), settings.end());
  uint64_t hash = 0;
  for (const std::string_view setting : settings) hash = XXH64(setting.data(), setting.size(), hash);
  return hash;
}

uint64_t Checksum(Header header, std::span<const std::byte> worker) {
  header.checksum = 0;
  return XXH64(worker.data(), worker.size(), XXH64(&header, sizeof header, 0));
}

Header HeaderOf(const Address& address) {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  ucp_get_version(&major, &minor, &release);
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.message_version = kMessageVersion;
  header.major = static_cast<uint8_t>(major);
  header.minor = static_cast<uint8_t>(minor);
  std::memcpy(header.id, address.id, sizeof header.id);
  header.settings = SettingsHash();
  header.checksum = Checksum(header, address.worker);
  return header;
}

}  // namespace

Address Address::New(std::span<const std::byte> worker) {
  Address address{};
  Assert(::getrandom(address.id, sizeof address.id, 0) == sizeof address.id, "there is chance");
  address.worker.assign(worker.begin(), worker.end());
  return address;
}

std::vector<std::byte> Address::Encode() const {
  const Header header = HeaderOf(*this);
  std::vector<std::byte> bytes(sizeof header + worker.size());
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, worker.data(), worker.size());
  return bytes;
}

int32_t Address::Decode(std::span<const std::byte> bytes, Address* out) {
  Header header{};
  if (bytes.size() <= sizeof header || bytes.size() > kBytesMax) return -EINVAL;
  std::memcpy(&header, bytes.data(), sizeof header);
  const auto worker = bytes.subspan(sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.checksum != Checksum(header, worker)) {
    return -EINVAL;
  }
  std::memcpy(out->id, header.id, sizeof header.id);
  out->worker.assign(worker.begin(), worker.end());
  const Header expected = HeaderOf(*out);
  return std::memcmp(&header, &expected, sizeof header) == 0 ? 0 : -EPROTONOSUPPORT;
}

}  // namespace chfs::ucx
