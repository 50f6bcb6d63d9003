// The transport without JavaScript: its parts, and the life of its channels.
#pragma once

#include <ucp/api/ucp.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pool/buffer_pool.hh"
#include "ucx/address.hh"
#include "ucx/channels.hh"
#include "ucx/inbound.hh"
#include "ucx/mailbox.hh"
#include "ucx/outbound.hh"
#include "ucx/requests.hh"
#include "ucx/worker.hh"

namespace chfs::ucx {

class Engine {
 public:
  explicit Engine(std::shared_ptr<Pool> pool);

  /// What went wrong, or empty; then nothing else may be called.
  std::string Open(const Worker::Settings& settings);
  /// Gives everything up at once: when it returns, UCX touches no memory any more.
  void Shut();

  const std::vector<std::byte>& EncodedAddress() const { return encoded_address_; }
  int Descriptor() const { return worker_.Descriptor(); }
  Mailbox& Events() { return mailbox_; }

  // The calls of lib/ports.ts's Transport, with its words.
  int32_t Expect(const uint8_t* secret);
  int32_t Connect(uint32_t number, std::span<const std::byte> address, uint32_t peer_number,
                  const uint8_t* peer_secret);
  void Close(uint32_t number);
  void CloseAll();
  uint32_t Request(uint32_t number, std::span<const std::byte> head, uint32_t at, uint32_t bytes, uint32_t to,
                   uint32_t room);
  void Cancel(uint32_t token);
  void Reply(uint32_t number, uint32_t token, std::span<const std::byte> head, uint32_t at, uint32_t bytes,
             int32_t slot);
  void Delivered(uint32_t token) { requests_.Delivered(token); }

  /// Until Uncork, messages without data are gathered, for a moment at most, and travel together.
  void Cork() { outbound_.Cork(); }
  void Uncork() { outbound_.Uncork(); }

  /// Does what there is to do, some of it: true when there was anything.
  bool Work();
  /// True when Work must be called again before the loop sleeps, whatever UCX says.
  bool IsRestless() const { return is_closing_ || channels_.IsCalled() || inbound_->CanAdmit(); }
  bool Arm() { return worker_.Arm(); }
  /// Something of this transport is under way, and JavaScript waits for it.
  bool IsBusy() const { return Awaits() || is_closing_; }
  /// Something was asked for that has no answer yet.
  bool Awaits() const { return requests_.Count() > 0; }
  /// How a channel's messages travel: UCX's own description.
  std::string Describe(uint32_t number) const;

 private:
  int32_t MakeEndpoint(Channel& channel, ucp_err_handler_cb_t on_error, ucp_ep_h* out);
  int32_t Align(Channel& channel);
  void Greet(Channel& channel);
  void Attend(Channel& channel);
  void AttendGreeting(Channel& channel);
  void Unbind(Channel& channel);
  void CloseEndpoint(ucp_ep_h endpoint);
  bool CheckClosing();

  const std::shared_ptr<Pool> pool_;
  Worker worker_;
  Address address_{};
  std::vector<std::byte> encoded_address_;
  Channels channels_;
  Mailbox mailbox_;
  Requests requests_;
  Outbound outbound_;
  std::unique_ptr<Inbound> inbound_;
  /// How many endpoints were made to each peer.
  std::map<std::pair<uint64_t, uint64_t>, uint32_t> endpoints_;
  /// Numbers of channels whose greeting could not go out yet.
  std::vector<uint32_t> greeting_;
  /// Endpoints that are being closed.
  std::vector<void*> closing_;
  bool is_closing_ = false;
};

}  // namespace chfs::ucx
