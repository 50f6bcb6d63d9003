// The store's engine, without JavaScript: one LMDB write transaction that stays open over many batches, the redo log
// that makes each batch safe, and the published root that the log is replayed onto. lib/native/kv.ts decides when.
//
// Every method returns 0 or a length, or a negative errno. After a failure that leaves memory and log in doubt the
// engine is dead: everything is -EIO, and only opening the store again tells what it holds.
#ifndef CHFS_KV_ENGINE_HH_
#define CHFS_KV_ENGINE_HH_

#include <lmdb.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>

#include "kv/batch.hh"
#include "kv/bytes.hh"
#include "kv/publication.hh"
#include "kv/redo_log.hh"
#include "kv/reserve.hh"

namespace chfs::kv {

struct Options {
  uint64_t segment_bytes = 16 << 20;
  uint64_t reserve_bytes = 16 << 20;
  // 0: as the file system asks for.
  uint64_t map_bytes = 0;
};

// What the policy is decided by.
struct Figures {
  uint64_t committed = 0;
  uint64_t synced = 0;
  uint64_t checkpointed = 0;
  uint64_t published = 0;
  uint64_t operations_since_checkpoint = 0;
  uint64_t operations_since_publication = 0;
  uint64_t checkpoint_us = 0;
  // One past the last used page, at the last checkpoint.
  uint64_t used_bytes = 0;
};

class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine() { Close(); }

  // Opens the store in `directory`, or makes one where there is none: recovers, and returns with an empty log. Blocks.
  int Open(const std::string& directory, const Options& options, std::string* error);
  // Gives everything back without publishing. No publication and no sync may be running.
  void Close();

  int64_t Get(const uint8_t* key, size_t key_bytes, uint8_t* value);
  // Writes 4 bytes behind the value: there must be room.
  int Put(const uint8_t* key, size_t key_bytes, uint8_t* value, size_t value_bytes);
  int Delete(const uint8_t* key, size_t key_bytes);
  // `key` is replaced with the key found, whose length is returned; its value's length goes to `value_bytes`.
  int Seek(uint8_t* key, size_t key_bytes, uint8_t* value, int32_t* value_bytes);

  int Commit();
  int Abort();

  // Commits the open transaction to LMDB, without syncing. -EBUSY inside a batch.
  int Checkpoint();
  // Starts publishing the last checkpoint: null where it is published already, or one is under way.
  std::shared_ptr<Publication> BeginPublication();
  // After Publication::Finish(), on the loop; once for each publication, later calls do nothing.
  int EndPublication(const std::shared_ptr<Publication>& publication, int result);
  // Whatever is under way is ended, then everything committed is checkpointed and published. Blocks.
  int PublishNow();

  // The descriptors that a sync must fdatasync (−1 for none) and the sequence it covers.
  uint64_t BeginSync(int descriptors[2]);
  int EndSync(uint64_t sequence, int result);

  int ExtendLog() { return dead_ ? -EIO : log_.Extend(); }
  bool TopUpReserve() { return reserve_.TopUp(DirtyBytes()); }
  bool CanGrow() const { return !dead_ && !reserve_.IsLow(DirtyBytes()) && !IsMapNearlyFull(0); }
  // An upper bound of the pages that the open transaction has dirtied.
  uint64_t DirtyPages() const;
  uint64_t ReserveAvailable() const { return reserve_.Available(DirtyBytes()); }

  bool IsDead() const { return dead_; }
  bool IsTight() const { return reserve_.IsTight(); }
  const Figures& figures() const { return figures_; }
  const RedoLog& log() const { return log_; }
  bool IsOtherSegmentFree() const { return log_.IsOtherFree(figures_.published); }

 private:
  // engine_open.cc
  int OpenFiles(const Options& options, std::string* error);
  int Create(const Options& options, std::string* error);
  int Recover(const Options& options, std::string* error);
  int OpenData(const Options& options, std::string* error);
  int OpenGuard();
  int Replay(const LogScan& scan);
  int PublishFirst();

  // engine.cc
  int Begin();
  int Find(const uint8_t* key, size_t key_bytes, MDB_val* out);
  int CheckPut(const uint8_t* key, size_t key_bytes, size_t value_bytes);
  int Apply(const uint8_t* key, size_t key_bytes, const uint8_t* stored, size_t stored_bytes);
  int Revert();
  int Load(const MDB_val& key, const MDB_val& stored, uint8_t* value) const;
  int Die();
  void CountOperation(size_t value_bytes);
  uint64_t DirtyBytes() const { return DirtyPages() * page_bytes_; }
  bool IsMapNearlyFull(uint64_t more_pages) const;
  void CloseCursor();

  // engine_checkpoint.cc
  int WriteBookkeeping();
  int ReadBookkeeping(uint64_t* sequence);
  void RefreshUsed();

  std::string path_;
  Fd directory_;
  Fd root_;
  RedoLog log_;
  Reserve reserve_;
  Batch batch_;
  Figures figures_;
  MDB_env* env_ = nullptr;
  MDB_txn* txn_ = nullptr;
  MDB_dbi dbi_ = 0;
  MDB_cursor* cursor_ = nullptr;
  // Where the cursor stands: the key that the last Seek() returned. Nothing where its length is 0.
  uint8_t cursor_key_[kKeyBytesMax] = {};
  size_t cursor_key_bytes_ = 0;
  // Read transactions at the published root and at the one being published: LMDB reuses no page that they can see.
  MDB_txn* published_guard_ = nullptr;
  MDB_txn* coming_guard_ = nullptr;
  std::shared_ptr<Publication> publication_;
  uint64_t root_sequence_ = 0;
  uint64_t open_operations_ = 0;
  uint64_t overflow_pages_ = 0;
  uint64_t branch_pages_ = 0;
  uint32_t depth_ = 0;
  uint32_t page_bytes_ = 4096;
  uint64_t map_pages_ = 0;
  bool dead_ = false;
};

}  // namespace chfs::kv

#endif  // CHFS_KV_ENGINE_HH_
