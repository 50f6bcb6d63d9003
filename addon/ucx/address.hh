// How peers reach a transport: who it is, and the address of its worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace chfs::ucx {

struct Address {
  static constexpr size_t kBytesMax = 4096;

  /// Names one transport among all that ever were.
  uint64_t id[2];
  std::vector<std::byte> worker;

  /// A random id.
  static Address New(std::span<const std::byte> worker);
  std::vector<std::byte> Encode() const;
  /// 0, or −EINVAL where this is no address or a damaged one, or −EPROTONOSUPPORT where another version of this
  /// program or of UCX made it, or one that is set otherwise. UCX itself checks nothing, and dies of some damage.
  static int32_t Decode(std::span<const std::byte> bytes, Address* out);
};

}  // namespace chfs::ucx
