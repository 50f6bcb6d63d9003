// Whether data that was read out of a peer's memory was still the message's when it was read.
//
// Between processes of one machine UCX lets the receiver copy rendezvous data straight out of the sender's memory
// (process_vm_readv). It cannot take that permission back: when a sender gives a channel up and uses the memory for
// something else, a receiver that was stopped just then reads the new contents, and takes them for the message. So each
// channel has a word in its process's memory with a random value, which is cleared before any memory of an unfinished
// send is given back; and a receiver looks at the sender's word after it has read the data.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ucx/message.hh"

namespace chfs::ucx {

/// The words of this process's channels.
class Witness {
 public:
  explicit Witness(uint32_t channels_max);
  /// The index of a word that is set now. There is one for each channel that there may be.
  uint32_t Set();
  /// Must come before the memory of any unfinished send of the channel is used for something else.
  void Clear(uint32_t word);
  /// A cleared word may serve another channel.
  void Free(uint32_t word);
  /// What a peer needs to look at the word.
  Sign SignOf(uint32_t word) const;

 private:
  std::unique_ptr<uint64_t[]> words_;
  std::vector<uint32_t> free_;
};

/// A peer's word.
class PeerWitness {
 public:
  PeerWitness() = default;
  /// Finds out whether the peer's memory can be read from here: then UCX may read it, too.
  explicit PeerWitness(const Sign& sign);
  /// True where the peer's channel is alive, or where its memory cannot be read from here at all.
  bool Vouches() const;

 private:
  Sign sign_{};
  bool is_near_ = false;
};

}  // namespace chfs::ucx
