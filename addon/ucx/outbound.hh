// What goes out: every message has a record of its own, which keeps its header, and what it holds, until UCX is done
// with it.
#pragma once

#include <ucp/api/ucp.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "pool/buffer_pool.hh"
#include "ucx/channel.hh"
#include "ucx/mailbox.hh"
#include "ucx/message.hh"
#include "ucx/requests.hh"

namespace chfs::ucx {

class Outbound;

struct Send {
  Outbound* owner;
  Channel* channel;
  Send* next;
  const std::byte* data;
  uint32_t data_bytes;
  uint32_t header_bytes;
  /// The request that it is, or kNoToken.
  uint32_t request;
  /// The slot that goes back to the pool when it is out, or −1.
  int32_t slot;
  alignas(8) std::byte header[kHeaderBytesMax];
  /// Of a batch: its parts. Once there, it stays.
  std::unique_ptr<std::byte[]> parts;
};

class Outbound {
 public:
  struct Message {
    Kind kind;
    uint32_t token;
    std::span<const std::byte> head;
    std::span<const std::byte> data;
    int32_t slot = -1;
  };

  Outbound(Pool& pool, Mailbox& mailbox, Requests& requests) : pool_(pool), mailbox_(mailbox), requests_(requests) {}

  /// Sends on a channel that is alive. What it holds is given back in any case.
  void Post(Channel& channel, const Message& message);
  /// Sends HELLO or WELCOME before the channel is open: false when it cannot go out at once and must not wait.
  bool Greet(Channel& channel, Kind kind, const Greeting& greeting, bool may_wait);
  /// Sends CONFIRM, by which the channel is open at both ends.
  void Confirm(Channel& channel);
  /// Until Uncork, what has no data is gathered by channel.
  void Cork() { is_corked_ = true; }
  void Uncork();
  /// Sends what waited for the channel to open.
  void Flush(Channel& channel);
  /// Gives up what waits for the channel to open, or was gathered.
  void Drop(Channel& channel);
  /// Gives up the request where it waits for the channel to open; false where it does not.
  bool Withdraw(Channel& channel, uint32_t request);

 private:
  Send* Take(Channel& channel, const Message& message);
  void Gather(Channel& channel, const Message& message);
  void SendBatch(Channel& channel);
  ucs_status_t Start(Send* send, uint32_t attributes = 0, uint32_t flags = 0);
  void Finish(Send* send, ucs_status_t status);

  Pool& pool_;
  Mailbox& mailbox_;
  Requests& requests_;
  std::vector<std::unique_ptr<Send>> sends_;
  Send* free_ = nullptr;
  bool is_corked_ = false;
  /// Channels with a batch that is being gathered.
  std::vector<Channel*> gathering_;
};

}  // namespace chfs::ucx
