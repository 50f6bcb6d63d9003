// UCX's context and worker: what sends and receives. Used on the loop thread only.
#pragma once

#include <ucp/api/ucp.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ucx/epoll_guard.hh"

namespace chfs::ucx {

class Worker {
 public:
  using Settings = std::vector<std::pair<std::string, std::string>>;

  Worker() = default;
  ~Worker() { Close(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// `settings` are those of ucp_config_modify. What went wrong, or empty.
  std::string Open(const Settings& settings);
  /// Every active message that arrives, whatever its id, comes to `callback` with `argument`.
  void Listen(ucp_am_recv_callback_t callback, void* argument);
  /// Nothing of it touches any memory afterwards. All endpoints must be closed.
  void Close();

  ucp_worker_h get() const { return worker_; }
  /// How a peer's worker makes an endpoint to this one.
  std::span<const std::byte> Address() const { return address_; }
  /// Readable when there is something to do; see Arm.
  int Descriptor() const { return descriptor_; }
  /// How much was done.
  unsigned Progress() {
    const EpollGuard guard;
    return ucp_worker_progress(worker_);
  }
  /// Before the loop sleeps: false when something happened meanwhile, so that the descriptor would not wake it.
  bool Arm() { return ucp_worker_arm(worker_) != UCS_ERR_BUSY; }

 private:
  std::string Create(const ucp_config_t* config);

  ucp_context_h context_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  std::vector<std::byte> address_;
  int descriptor_ = -1;
};

}  // namespace chfs::ucx
