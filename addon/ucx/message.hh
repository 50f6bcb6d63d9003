// What stands before the head of every message between two transports, and what two channels say to each other before
// they carry anything. Little-endian; the peers of one cluster run one version.
#pragma once

#include <cstddef>
#include <cstdint>

namespace chfs::ucx {

/// Longest head that a caller may send; lib/base/limits.ts has the same number.
constexpr uint32_t kHeadBytesMax = 2048;
constexpr uint32_t kSecretBytes = 16;

enum class Kind : uint8_t {
  /// The endpoint's first message, of the side that made it first.
  kHello = 1,
  /// The other side's answer: from now on both may send.
  kWelcome = 2,
  kRequest = 3,
  kReply = 4,
  /// The sender no longer waits for its request `token`: data of it that still lies there is not wanted any more.
  kCancel = 5,
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

constexpr uint8_t kMessageVersion = 1;
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
  /// HELLO: how many endpoints its sender made to the receiver's worker before this one.
  uint32_t endpoints_before;
  uint32_t reserved;
};
static_assert(sizeof(Greeting) == 48);

}  // namespace chfs::ucx
