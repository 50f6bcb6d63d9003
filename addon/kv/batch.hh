// The open batch: its operations in the log's form, and what is needed to undo each of them.
#ifndef CHFS_KV_BATCH_HH_
#define CHFS_KV_BATCH_HH_

#include <cstdint>
#include <vector>

#include "kv/log_format.hh"

namespace chfs::kv {

class Batch {
 public:
  // A batch beyond this is refused: the log must be able to hold it, and memory to undo it.
  static constexpr size_t kBytesMax = 64 << 20;

  struct Undo {
    const uint8_t* key;
    size_t key_bytes;
    // What the key held before, with its checksum; null where it was absent.
    const uint8_t* before;
    size_t before_bytes;
  };

  Batch() { Clear(); }

  bool IsEmpty() const { return steps_.empty(); }
  bool HasRoom(size_t bytes) const { return log_.size() + before_.size() + bytes <= kBytesMax; }
  uint32_t operations() const { return static_cast<uint32_t>(steps_.size()); }
  size_t operation_bytes() const { return log_.size() - sizeof(RecordHeader); }

  // `before` is null where the key was absent.
  void Add(const Operation& operation, const uint8_t* before, size_t before_bytes);

  // The record to write: room for the header, the operations, and 7 spare bytes.
  uint8_t* Record();

  // Takes the newest step off for undoing: false where none is left. The pointers live until Clear().
  bool TakeUndo(Undo* out);

  void Clear();

 private:
  struct Step {
    size_t key_at;
    size_t before_at;
    uint32_t before_bytes;
    uint16_t key_bytes;
    bool was_present;
  };

  std::vector<uint8_t> log_;
  std::vector<uint8_t> before_;
  std::vector<Step> steps_;
};

}  // namespace chfs::kv

#endif  // CHFS_KV_BATCH_HH_
