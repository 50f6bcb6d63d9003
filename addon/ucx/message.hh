// What stands before the head of every message between two transports, and what two channels say to each other before
// they carry anything. Little-endian; the peers of one cluster run one version.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace chfs::ucx {

/// Longest head that a caller may send; lib/base/limits.ts has the same number.
constexpr uint32_t kHeadBytesMax = 2048;
constexpr uint32_t kSecretBytes = 16;

enum class Kind : uint8_t {
  // How a channel opens. Each end makes an endpoint when it is connected. The one whose transport has the lower id, the
  // first, says HELLO; the second answers WELCOME, and may send from CONFIRM on. Why it takes three is in engine.cc.
  kHello = 1,
  kWelcome = 2,
  kConfirm = 3,
  kRequest = 4,
  kReply = 5,
  /// The sender no longer waits for its request `token`: data of it that still lies there is not wanted any more.
  kCancel = 6,
  /// Several of the last three, without data of their own: its data is their parts, one after the other.
  kBatch = 7,
};

struct Envelope {
  uint8_t version;
  Kind kind;
  uint16_t head_bytes;
  /// The channel's number and secret at the receiver.
  uint32_t channel;
  uint8_t secret[kSecretBytes];
  uint32_t token;
  uint32_t data_bytes;
};
static_assert(sizeof(Envelope) == 32 && alignof(Envelope) == 4);

/// What stands before each head in a batch.
struct Part {
  Kind kind;
  uint8_t reserved;
  uint16_t head_bytes;
  uint32_t token;
};
static_assert(sizeof(Part) == 8);

/// Below what transports send in one piece.
constexpr uint32_t kBatchBytesMax = 6144;

constexpr uint8_t kMessageVersion = 2;
constexpr uint32_t kHeaderBytesMax = sizeof(Envelope) + kHeadBytesMax;

/// Where a process shows who it is, and whether a channel of its is alive (see witness.hh).
struct Sign {
  uint64_t identity_address;
  uint64_t identity;
  uint64_t word_address;
  uint64_t word;
  int32_t process;
  uint32_t reserved;
};
static_assert(sizeof(Sign) == 40);

/// The head of HELLO and of WELCOME.
struct Greeting {
  Sign sign;
  /// Counts the endpoints that its sender has made to the receiver's worker: this is that of the channel's, from 1 on.
  uint32_t ordinal;
  uint32_t reserved;
};
static_assert(sizeof(Greeting) == 48);

/// memcpy takes no null pointer, which an empty span may have.
inline void Copy(void* to, std::span<const std::byte> from) {
  if (!from.empty()) std::memcpy(to, from.data(), from.size());
}

}  // namespace chfs::ucx
