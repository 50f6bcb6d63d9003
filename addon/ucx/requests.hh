// The requests that this transport has sent and that have not ended, by token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "ucx/channel.hh"
#include "ucx/mailbox.hh"

namespace chfs::ucx {

constexpr uint32_t kNoToken = UINT32_MAX;

/// A request ends, by a record in the mailbox, when its result is known and UCX touches neither the memory that it is
/// sent from nor the one that its reply goes to. A token names the place in the table and a generation; places are used
/// in turn, so that a token comes back only after tens of millions of others.
class Requests {
 public:
  struct Entry {
    Channel* channel = nullptr;
    /// Where in the pool's memory the reply's data goes.
    uint32_t to = 0;
    uint32_t room = 0;
    int32_t result = 0;
    uint16_t generation = 0;
    bool is_open = false;
    bool is_sending = false;
    bool is_receiving = false;
    /// `result` and `head` are known.
    bool has_result = false;
    std::vector<std::byte> head;
  };

  explicit Requests(Mailbox& mailbox) : mailbox_(mailbox) {}

  /// `channel` may be null: then the request ends with an error before it began.
  uint32_t Open(Channel* channel, uint32_t to, uint32_t room);
  /// The request that waits for its reply on `channel`; null where there is none. Valid until the next Open.
  Entry* Awaiting(uint32_t token, const Channel& channel);
  Entry* Find(uint32_t token);
  void Sending(uint32_t token);
  void Sent(uint32_t token);
  void Receiving(uint32_t token);
  void Received(uint32_t token);
  /// The first result counts.
  void End(uint32_t token, int32_t result, std::span<const std::byte> head);
  void EndAll(const Channel& channel, int32_t error);
  /// JavaScript knows that it has ended: the token's place may serve again.
  void Delivered(uint32_t token);
  uint32_t Count() const { return open_; }

 private:
  static constexpr uint32_t kCountMax = 65536;
  static constexpr uint32_t kGrowth = 1024;

  void Grow();
  void Settle(uint32_t token, Entry& entry);
  void Finish(uint32_t token, Entry& entry, std::span<const std::byte> head);

  Mailbox& mailbox_;
  std::vector<Entry> entries_;
  std::deque<uint16_t> free_;
  uint32_t open_ = 0;
};

}  // namespace chfs::ucx
