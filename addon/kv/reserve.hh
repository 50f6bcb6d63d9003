// Room that is allocated ahead of the LMDB file's last used page, so that a checkpoint of deletions finds it on a full
// disk. LMDB copies a page before it changes it: a deletion needs new pages before it can give old ones back.
#ifndef CHFS_KV_RESERVE_HH_
#define CHFS_KV_RESERVE_HH_

#include <cstdint>

namespace chfs::kv {

class Reserve {
 public:
  void Open(int fd, uint64_t goal_bytes) {
    fd_ = fd;
    goal_ = goal_bytes;
  }

  // After a checkpoint: the file is used up to here.
  void SetUsed(uint64_t used_bytes);

  // Tries to have `goal` allocated beyond the used part and the `dirty_bytes` still in memory. False where the disk
  // has no room for that. Asks the kernel once per MiB of growth.
  bool TopUp(uint64_t dirty_bytes);

  // Free pages inside the file that the next transaction may take. Only known (and only needed) when the disk is full.
  void SetReusable(uint64_t bytes) { reusable_ = bytes; }
  uint64_t Reusable() const { return reusable_; }

  // Bytes that can still be written without asking the disk for room.
  uint64_t Available(uint64_t dirty_bytes) const;

  // The last TopUp() fell short.
  bool IsTight() const { return tight_; }
  // Growing is over, deletions go on.
  bool IsLow(uint64_t dirty_bytes) const { return tight_ && Available(dirty_bytes) < goal_ / 2; }
  // Not even deletions may go on before pages come free.
  bool IsSpent(uint64_t dirty_bytes) const { return tight_ && Available(dirty_bytes) < goal_ / 16; }
  uint64_t goal() const { return goal_; }

 private:
  int Allocate(uint64_t end);

  int fd_ = -1;
  uint64_t goal_ = 0;
  uint64_t used_ = 0;
  uint64_t end_ = 0;
  uint64_t reusable_ = 0;
  bool tight_ = false;
};

}  // namespace chfs::kv

#endif  // CHFS_KV_RESERVE_HH_
