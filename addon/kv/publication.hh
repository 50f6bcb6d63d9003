// One publication: making a checkpoint's pages durable and then naming it in the `root` file, away from the loop.
#ifndef CHFS_KV_PUBLICATION_HH_
#define CHFS_KV_PUBLICATION_HH_

#include <atomic>

#include "kv/root_file.hh"

namespace chfs::kv {

class Publication {
 public:
  Publication(int data_fd, int root_fd, const Root& root) : data_fd_(data_fd), root_fd_(root_fd), root_(root) {}

  // Does the work, unless another thread has begun it. Any thread. May block for long.
  void Run();

  // Does the work, or waits for the thread that has begun it. Never waits for a thread that has not: the loop may call
  // this while every thread of the pool waits for the loop.
  int Finish();

  const Root& root() const { return root_; }

 private:
  enum State : int { kWaiting, kRunning, kDone };

  int data_fd_;
  int root_fd_;
  Root root_;
  int result_ = 0;
  std::atomic<int> state_{kWaiting};
};

}  // namespace chfs::kv

#endif  // CHFS_KV_PUBLICATION_HH_
