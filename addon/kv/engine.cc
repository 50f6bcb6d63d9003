#include "kv/engine.hh"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kv/environment.hh"

namespace chfs::kv {

namespace {

constexpr size_t kStoredBytesMax = kValueBytesMax + sizeof(uint32_t);

// Pages that a batch of deletions may still need when putting is refused altogether.
constexpr uint64_t kMapPagesKept = 1024;

bool IsKey(const uint8_t* key, size_t bytes) { return bytes >= 1 && bytes <= kKeyBytesMax && key[0] != 0; }

MDB_val Span(const void* data, size_t bytes) { return {bytes, const_cast<void*>(data)}; }

int Compare(const uint8_t* a, size_t a_bytes, const void* b, size_t b_bytes) {
  const int order = memcmp(a, b, std::min(a_bytes, b_bytes));
  if (order != 0) return order;
  return a_bytes < b_bytes ? -1 : a_bytes > b_bytes;
}

}  // namespace

int64_t Engine::Get(const uint8_t* key, size_t key_bytes, uint8_t* value) {
  if (dead_) return -EIO;
  if (!IsKey(key, key_bytes)) return -EINVAL;
  MDB_val stored;
  const int error = Find(key, key_bytes, &stored);
  return error != 0 ? error : Load(Span(key, key_bytes), stored, value);
}

int Engine::Put(const uint8_t* key, size_t key_bytes, uint8_t* value, size_t value_bytes) {
  int error = CheckPut(key, key_bytes, value_bytes);
  if (error != 0) return error;
  MDB_val before;
  error = Find(key, key_bytes, &before);
  if (error != 0 && error != -ENOENT) return error;
  const Operation operation = {OperationKind::kPut, key, key_bytes, value, value_bytes};
  // What LMDB returned lives until the next change only: it is copied before the put.
  batch_.Add(operation, error == 0 ? static_cast<uint8_t*>(before.mv_data) : nullptr, error == 0 ? before.mv_size : 0);
  const uint32_t checksum = ValueChecksum(key, key_bytes, value, value_bytes);
  memcpy(value + value_bytes, &checksum, sizeof checksum);
  return Apply(key, key_bytes, value, value_bytes + sizeof checksum);
}

int Engine::Delete(const uint8_t* key, size_t key_bytes) {
  if (dead_) return -EIO;
  if (!IsKey(key, key_bytes)) return -EINVAL;
  MDB_val before;
  const int error = Find(key, key_bytes, &before);
  if (error != 0) return error;
  if (!batch_.HasRoom(kOperationHeaderBytes + key_bytes + before.mv_size)) return -ENOSPC;
  const Operation operation = {OperationKind::kDelete, key, key_bytes, nullptr, 0};
  batch_.Add(operation, static_cast<uint8_t*>(before.mv_data), before.mv_size);
  return Apply(key, key_bytes, nullptr, 0);
}

int Engine::Seek(uint8_t* key, size_t key_bytes, uint8_t* value, int32_t* value_bytes) {
  if (dead_) return -EIO;
  // One byte more than a key, so that the successor of the longest key (itself and a zero byte) can be asked for.
  if (key_bytes < 1 || key_bytes > kKeyBytesMax + 1) return -EINVAL;
  if (key[0] == 0) {
    key[0] = 1;
    key_bytes = 1;
  }
  if (cursor_ == nullptr && mdb_cursor_open(txn_, dbi_, &cursor_) != 0) return Die();
  MDB_val found = {0, nullptr};
  MDB_val stored = {0, nullptr};
  int code = MDB_NOTFOUND;
  bool is_there = false;
  // A scan asks for something just behind the last key found: one step is then a sixth of a search.
  if (cursor_key_bytes_ > 0 && Compare(key, key_bytes, cursor_key_, cursor_key_bytes_) > 0) {
    code = mdb_cursor_get(cursor_, &found, &stored, MDB_NEXT);
    is_there = code == MDB_NOTFOUND || (code == 0 && Compare(key, key_bytes, found.mv_data, found.mv_size) <= 0);
  }
  if (!is_there) {
    found = Span(key, key_bytes);
    code = mdb_cursor_get(cursor_, &found, &stored, MDB_SET_RANGE);
  }
  cursor_key_bytes_ = 0;
  if (code == MDB_NOTFOUND) {
    CloseCursor();
    return -ENOENT;
  }
  if (code != 0 || found.mv_size > kKeyBytesMax) return Die();
  memcpy(key, found.mv_data, found.mv_size);
  memcpy(cursor_key_, found.mv_data, found.mv_size);
  cursor_key_bytes_ = found.mv_size;
  const int bytes = Load(found, stored, value);
  if (bytes < 0) return bytes;
  *value_bytes = bytes;
  return static_cast<int>(found.mv_size);
}

int Engine::Commit() {
  if (dead_) return -EIO;
  if (batch_.IsEmpty()) return 0;
  const uint32_t operations = batch_.operations();
  const int error = log_.Append(batch_.Record(), batch_.operation_bytes(), operations, figures_.committed + 1,
                                figures_.published, std::max(figures_.synced, figures_.published));
  if (error != 0) {
    if (log_.IsBroken()) return Die();
    return Revert() == 0 ? error : -EIO;
  }
  figures_.committed++;
  figures_.operations_since_publication += operations;
  batch_.Clear();
  return 0;
}

int Engine::Abort() { return dead_ ? -EIO : Revert(); }

int Engine::Begin() {
  const int code = mdb_txn_begin(env_, nullptr, 0, &txn_);
  if (code != 0) {
    txn_ = nullptr;
    return FromLmdb(code);
  }
  return FromLmdb(mdb_dbi_open(txn_, nullptr, 0, &dbi_));
}

int Engine::Find(const uint8_t* key, size_t key_bytes, MDB_val* out) {
  MDB_val wanted = Span(key, key_bytes);
  const int code = mdb_get(txn_, dbi_, &wanted, out);
  if (code == 0) return 0;
  return code == MDB_NOTFOUND ? -ENOENT : Die();
}

int Engine::CheckPut(const uint8_t* key, size_t key_bytes, size_t value_bytes) {
  if (dead_) return -EIO;
  if (!IsKey(key, key_bytes) || value_bytes > kValueBytesMax) return -EINVAL;
  // Twice the value: what it replaces may be as large, and has to be kept for undoing.
  if (!batch_.HasRoom(kOperationHeaderBytes + key_bytes + value_bytes + kStoredBytesMax)) return -ENOSPC;
  // The bound is refused before LMDB meets it: there, the transaction and with it many batches would be lost.
  const uint64_t pages = value_bytes / page_bytes_ + 4;
  if (IsMapNearlyFull(pages)) return -ENOSPC;
  const uint64_t dirty_bytes = DirtyBytes() + pages * page_bytes_;
  // On a full disk the kernel is asked again at each checkpoint, and not at each put.
  if (!reserve_.IsTight()) reserve_.TopUp(dirty_bytes);
  return reserve_.IsSpent(dirty_bytes) ? -ENOSPC : 0;
}

// Puts the value with its checksum, or deletes where `stored` is null.
int Engine::Apply(const uint8_t* key, size_t key_bytes, const uint8_t* stored, size_t stored_bytes) {
  CloseCursor();
  CountOperation(stored_bytes);
  MDB_val name = Span(key, key_bytes);
  int code;
  if (stored != nullptr) {
    MDB_val content = Span(stored, stored_bytes);
    code = mdb_put(txn_, dbi_, &name, &content, 0);
  } else {
    code = mdb_del(txn_, dbi_, &name, nullptr);
  }
  // LMDB has marked the transaction as failed, and the batches before this one are in it.
  return code == 0 ? 0 : Die();
}

int Engine::Revert() {
  Batch::Undo undo;
  while (batch_.TakeUndo(&undo)) {
    const int error = Apply(undo.key, undo.key_bytes, undo.before, undo.before_bytes);
    if (error != 0) return error;
  }
  batch_.Clear();
  return 0;
}

// Checks a stored value and copies it out: its length, or -EIO.
int Engine::Load(const MDB_val& key, const MDB_val& stored, uint8_t* value) const {
  if (stored.mv_size < sizeof(uint32_t) || stored.mv_size > kStoredBytesMax) return -EIO;
  const size_t bytes = stored.mv_size - sizeof(uint32_t);
  const uint8_t* content = static_cast<const uint8_t*>(stored.mv_data);
  uint32_t checksum;
  memcpy(&checksum, content + bytes, sizeof checksum);
  if (checksum != ValueChecksum(static_cast<const uint8_t*>(key.mv_data), key.mv_size, content, bytes)) return -EIO;
  memcpy(value, content, bytes);
  return static_cast<int>(bytes);
}

int Engine::Die() {
  dead_ = true;
  return -EIO;
}

void Engine::CountOperation(size_t value_bytes) {
  open_operations_++;
  figures_.operations_since_checkpoint++;
  if (value_bytes > page_bytes_ / 3) overflow_pages_ += value_bytes / page_bytes_ + 2;
}

// A leaf and what splitting it takes for each operation, the branches above (each counted once, since a page that is
// dirty is not copied again), and the free list.
uint64_t Engine::DirtyPages() const {
  if (open_operations_ == 0) return 0;
  const uint64_t branches =
      std::min(open_operations_ * (depth_ + 1), branch_pages_ + open_operations_ / 16 + depth_ + 1);
  const uint64_t pages = 2 * open_operations_ + branches + overflow_pages_;
  return pages + pages / 256 + 8;
}

bool Engine::IsMapNearlyFull(uint64_t more_pages) const {
  return figures_.used_bytes / page_bytes_ + DirtyPages() + more_pages + kMapPagesKept > map_pages_;
}

void Engine::CloseCursor() {
  // LMDB adjusts open cursors to every change. A new one costs less than that, and cannot be wrong.
  if (cursor_ != nullptr) mdb_cursor_close(cursor_);
  cursor_ = nullptr;
  cursor_key_bytes_ = 0;
}

}  // namespace chfs::kv
