// The channels of a transport, by number.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "ucx/channel.hh"
#include "ucx/witness.hh"

namespace chfs::ucx {

class Channels {
 public:
  static constexpr uint32_t kCountMax = 4096;

  Channels() : witness_(kCountMax) {}

  /// A new one, or null where there are too many.
  Channel* Add(const uint8_t* secret);
  Channel* Find(uint32_t number) const;
  /// It is not found any more; it lives on until UCX has let go of it (see Reap).
  void Remove(Channel& channel);
  /// Frees removed channels that UCX has let go of; true while it holds on to others, or to ones that failed.
  bool Reap();
  /// The channels that have called since the last time.
  std::vector<Channel*> TakeCalling();
  bool IsCalled() const { return !attention_.empty(); }
  std::vector<Channel*> All() const;
  Sign SignOf(const Channel& channel) const { return witness_.SignOf(channel.word); }

 private:
  Witness witness_;
  std::vector<Channel*> attention_;
  std::unordered_map<uint32_t, std::unique_ptr<Channel>> channels_;
  std::vector<std::unique_ptr<Channel>> removed_;
  uint32_t last_number_ = 0;
};

}  // namespace chfs::ucx
