// Checkpoint, publication and sync of the engine.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "kv/engine.hh"
#include "kv/environment.hh"

namespace chfs::kv {

namespace {

// The record that says how much of the log this state of LMDB includes. Keys that begin with a zero byte are ours.
constexpr uint8_t kBookkeepingKey[1] = {0};

struct Bookkeeping {
  uint64_t log_sequence;
  uint64_t checksum;
};
static_assert(sizeof(Bookkeeping) == 16);

}  // namespace

int Engine::Checkpoint() {
  if (dead_) return -EIO;
  if (!batch_.IsEmpty()) return -EBUSY;
  if (figures_.committed == figures_.checkpointed) return 0;
  const auto start = std::chrono::steady_clock::now();
  CloseCursor();
  if (WriteBookkeeping() != 0) return Die();
  MDB_txn* txn = txn_;
  txn_ = nullptr;
  // After a failure the transaction is gone, but every batch in it is in the log: opening the store again has them.
  if (mdb_txn_commit(txn) != 0 || Begin() != 0) return Die();
  figures_.checkpointed = figures_.committed;
  figures_.operations_since_checkpoint = 0;
  reserve_.SetReusable(reserve_.Reusable() - std::min(reserve_.Reusable(), DirtyBytes()));
  RefreshUsed();
  reserve_.TopUp(0);
  const auto elapsed = std::chrono::steady_clock::now() - start;
  figures_.checkpoint_us =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count());
  return 0;
}

std::shared_ptr<Publication> Engine::BeginPublication() {
  if (dead_ || publication_ != nullptr || figures_.published == figures_.checkpointed) return nullptr;
  int data_fd;
  Root root;
  const uint64_t transaction = mdb_txn_id(txn_) - 1;
  root.sequence = root_sequence_ + 1;
  root.log_sequence = figures_.checkpointed;
  if (mdb_env_get_fd(env_, &data_fd) != 0 || CaptureRoot(data_fd, page_bytes_, transaction, &root) != 0 ||
      mdb_txn_begin(env_, nullptr, MDB_RDONLY, &coming_guard_) != 0 || mdb_txn_id(coming_guard_) != transaction) {
    Die();
    return nullptr;
  }
  figures_.operations_since_publication = 0;
  publication_ = std::make_shared<Publication>(data_fd, root_.get(), root);
  return publication_;
}

int Engine::EndPublication(const std::shared_ptr<Publication>& publication, int result) {
  if (publication != publication_ || publication == nullptr) return dead_ ? -EIO : 0;
  publication_ = nullptr;
  // After a failed fdatasync the kernel may take lost pages for clean ones: no later sync of this file can be believed.
  if (result != 0) return Die();
  root_sequence_ = publication->root().sequence;
  figures_.published = publication->root().log_sequence;
  if (published_guard_ != nullptr) mdb_txn_abort(published_guard_);
  published_guard_ = coming_guard_;
  coming_guard_ = nullptr;
  // Free lists are long to walk, so they are counted only when they decide whether the store can go on.
  reserve_.SetReusable(reserve_.IsTight() ? CountReusablePages(published_guard_) * page_bytes_ : 0);
  return 0;
}

int Engine::PublishNow() {
  if (dead_) return -EIO;
  if (const auto running = publication_) {
    const int error = EndPublication(running, running->Finish());
    if (error != 0) return error;
  }
  const int error = Checkpoint();
  if (error != 0) return error;
  const auto publication = BeginPublication();
  if (publication == nullptr) return dead_ ? -EIO : 0;
  return EndPublication(publication, publication->Finish());
}

uint64_t Engine::BeginSync(int descriptors[2]) {
  log_.TakeWritten(descriptors);
  return figures_.committed;
}

int Engine::EndSync(uint64_t sequence, int result) {
  if (result != 0) return Die();
  figures_.synced = std::max(figures_.synced, sequence);
  return 0;
}

int Engine::WriteBookkeeping() {
  Bookkeeping record = {figures_.committed, 0};
  record.checksum = Checksum(&record.log_sequence, sizeof record.log_sequence, 0);
  MDB_val key = {sizeof kBookkeepingKey, const_cast<uint8_t*>(kBookkeepingKey)};
  MDB_val value = {sizeof record, &record};
  return FromLmdb(mdb_put(txn_, dbi_, &key, &value, 0));
}

int Engine::ReadBookkeeping(uint64_t* sequence) {
  MDB_val key = {sizeof kBookkeepingKey, const_cast<uint8_t*>(kBookkeepingKey)};
  MDB_val value;
  const int code = mdb_get(txn_, dbi_, &key, &value);
  if (code != 0) return FromLmdb(code);
  Bookkeeping record;
  if (value.mv_size != sizeof record) return -EBADMSG;
  memcpy(&record, value.mv_data, sizeof record);
  if (record.checksum != Checksum(&record.log_sequence, sizeof record.log_sequence, 0)) return -EBADMSG;
  *sequence = record.log_sequence;
  return 0;
}

void Engine::RefreshUsed() {
  MDB_envinfo info;
  MDB_stat status;
  mdb_env_info(env_, &info);
  mdb_stat(txn_, dbi_, &status);
  open_operations_ = 0;
  overflow_pages_ = 0;
  page_bytes_ = status.ms_psize;
  depth_ = status.ms_depth;
  branch_pages_ = status.ms_branch_pages;
  map_pages_ = info.me_mapsize / page_bytes_;
  figures_.used_bytes = (static_cast<uint64_t>(info.me_last_pgno) + 1) * page_bytes_;
  reserve_.SetUsed(figures_.used_bytes);
}

}  // namespace chfs::kv
