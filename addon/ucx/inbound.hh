// What comes in. A message that does not carry its channel's number and secret ends here, before it costs anything. The
// data of a request goes into a slot for peers, that of a reply to where the request wants it: copied where it came
// with the message, received there where it was left with the sender (rendezvous).
#pragma once

#include <ucp/api/ucp.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "pool/buffer_pool.hh"
#include "ucx/channels.hh"
#include "ucx/mailbox.hh"
#include "ucx/message.hh"
#include "ucx/requests.hh"
#include "ucx/worker.hh"

namespace chfs::ucx {

class Inbound final : public SlotWaiter {
 public:
  Inbound(Worker& worker, Pool& pool, Mailbox& mailbox, Requests& requests, Channels& channels);
  ~Inbound();
  Inbound(const Inbound&) = delete;
  Inbound& operator=(const Inbound&) = delete;

  /// Gives slots that came free to requests that wait for one, in order; false when there was nothing to do.
  bool Admit();
  bool CanAdmit() const { return with_slot_ > 0; }
  /// Drops what waits on the channel.
  void Drop(Channel& channel);
  /// Called from the pool, wherever a slot is released.
  void OnSlotFree() override;

 private:
  struct Message {
    Channel* channel;
    Kind kind;
    uint32_t token;
    std::span<const std::byte> head;
    /// The data itself, or UCX's description of it.
    void* data;
    uint32_t bytes;
    bool is_rendezvous;
    /// UCX keeps the data when it is asked to.
    bool can_be_kept;
  };

  /// A request with data, from its arrival to when it has a slot.
  struct Waiting {
    Channel* channel;
    uint32_t token;
    std::vector<std::byte> head;
    void* data;
    uint32_t bytes;
    bool is_rendezvous;
    /// The data, where UCX does not keep it.
    std::unique_ptr<std::byte[]> copy;
    int32_t slot;
  };

  /// Data that is being received.
  struct Receive {
    Inbound* owner;
    Receive* next;
    Channel* channel;
    Kind kind;
    uint32_t token;
    int32_t slot;
    uint32_t bytes;
    uint32_t head_bytes;
    alignas(8) std::byte head[kHeadBytesMax];
  };

  ucs_status_t OnMessage(const std::byte* header, size_t header_bytes, void* data, size_t bytes, uint64_t attributes);
  ucs_status_t OnAuthentic(const Message& message);
  ucs_status_t OnGreeting(const Message& message);
  ucs_status_t OnRequest(const Message& message);
  ucs_status_t OnReply(const Message& message);
  void OnCancel(const Message& message);
  bool OnBatch(const Message& message);

  ucs_status_t Wait(const Message& message);
  void Place(Waiting& waiting);
  void Discard(Waiting& waiting);
  void Begin(Channel& channel, Kind kind, uint32_t token, std::span<const std::byte> head, void* description,
             std::byte* to, uint32_t bytes, int32_t slot);
  void Finish(Receive* receive, ucs_status_t status);

  Worker& worker_;
  Pool& pool_;
  Mailbox& mailbox_;
  Requests& requests_;
  Channels& channels_;
  std::deque<Waiting> waiting_;
  /// The first of them have a slot, and are placed by Admit.
  size_t with_slot_ = 0;
  std::vector<std::unique_ptr<Receive>> receives_;
  Receive* free_ = nullptr;
};

}  // namespace chfs::ucx
