// One channel: the pairing of this transport with one peer's, over one endpoint.
#pragma once

#include <ucp/api/ucp.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "ucx/message.hh"
#include "ucx/witness.hh"

namespace chfs::ucx {

struct Send;

struct Channel {
  enum class State {
    /// Its number and secret are given out.
    kExpecting,
    /// It knows its peer and greets it; what is to be sent waits.
    kGreeting,
    kOpen,
    /// The peer is gone or broke the protocol. Nothing passes any more; JavaScript is told, and closes it.
    kFailed,
    kClosed,
  };

  Channel(uint32_t own_number, const uint8_t* own_secret, uint32_t own_word, Witness& witness,
          std::vector<Channel*>& attention);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  bool IsAlive() const { return state != State::kFailed && state != State::kClosed; }
  /// The channel fails, now or sooner. May be called from any callback of UCX: what follows is done later.
  void Fail(int32_t errno_value);
  /// Nobody may rely any more on what this process's memory holds for the channel's unfinished sends.
  void Renounce();
  /// It is looked at before the loop sleeps.
  void Call();
  bool IsSecret(const uint8_t* candidate) const;

  const uint32_t number;
  State state = State::kExpecting;
  uint8_t secret[kSecretBytes];
  uint32_t peer_number = 0;
  uint8_t peer_secret[kSecretBytes] = {};
  const uint32_t word;
  PeerWitness peer_witness;
  /// Of the two ends, this one says HELLO.
  bool is_first = false;
  ucp_ep_h endpoint = nullptr;
  /// The endpoint's number among those made to this peer.
  uint32_t ordinal = 0;
  /// The peer's id and the address of its worker, from connect on.
  uint64_t peer_id[2] = {};
  std::vector<std::byte> peer_address;
  /// The peer's HELLO or WELCOME.
  std::optional<Greeting> greeting;
  /// HELLO or WELCOME is to be sent, since this time of uv_hrtime.
  bool must_greet = false;
  uint64_t greets_since = 0;
  bool has_welcomed = false;
  /// Sends that wait for the greeting, oldest first.
  Send* queue = nullptr;
  Send** queue_end = &queue;
  /// The batch that is being gathered, and since when.
  Send* batch = nullptr;
  uint64_t gathers_since = 0;
  /// Sends and receives that UCX has not completed: the channel lives until there are none.
  uint32_t operations = 0;
  /// Requests of the peer that wait for a slot, and how much of their data lies here already.
  uint32_t waiting = 0;
  size_t waiting_bytes = 0;
  int32_t error = 0;
  bool is_called = false;

 private:
  Witness& witness_;
  std::vector<Channel*>& attention_;
};

}  // namespace chfs::ucx
