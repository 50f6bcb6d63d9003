// A fault of UCX that ends the process, and what keeps it from that.
#pragma once

namespace chfs::ucx {

/// UCX's TCP (1.13, uct_tcp_iface_handle_events) reads from a connection and then writes to it, where both are
/// possible, although what it has read may have freed it: the connection of an endpoint that was closed with data still
/// to send, whose peer closes it as well. So while one of these lives, UCX is told only one of the two at a time, by
/// turns; since its sockets are level-triggered it is told the other one next.
class EpollGuard {
 public:
  EpollGuard();
  ~EpollGuard();
  EpollGuard(const EpollGuard&) = delete;
  EpollGuard& operator=(const EpollGuard&) = delete;
};

/// Catches the calls of epoll_wait(2) in UCX's library; before the first worker. False where none could be found.
bool CatchEpollWait();

}  // namespace chfs::ucx
