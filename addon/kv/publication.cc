#include "kv/publication.hh"

#include "kv/bytes.hh"

namespace chfs::kv {

void Publication::Run() {
  int expected = kWaiting;
  if (!state_.compare_exchange_strong(expected, kRunning)) return;
  // The root must not be named before its pages are on the disk.
  result_ = SyncData(data_fd_);
  if (result_ == 0) result_ = WriteRoot(root_fd_, root_);
  state_.store(kDone);
  state_.notify_all();
}

int Publication::Finish() {
  Run();
  for (int state = state_.load(); state != kDone; state = state_.load()) state_.wait(state);
  return result_;
}

}  // namespace chfs::kv
