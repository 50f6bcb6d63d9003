// The `root` file: the LMDB meta page of the last state that is known to be whole on the disk, in two copies.
//
// A slot is 8192 bytes, little-endian; slot 0 stands at 0 and slot 1 at 8192:
//
// | offset | bytes | field                                                                   |
// |--------|-------|-------------------------------------------------------------------------|
// | 0      | 8     | magic "CHFSROOT"                                                        |
// | 8      | 4     | version, 1                                                              |
// | 12     | 4     | LMDB's page size in bytes                                               |
// | 16     | 8     | sequence of the publication, counted from 1                             |
// | 24     | 8     | LMDB transaction id                                                     |
// | 32     | 8     | sequence of the last log record that this state includes                |
// | 40     | 8     | zero                                                                    |
// | 48     | 8     | XXH3-64 over the 8192 bytes of the slot with this field zero            |
// | 56     | 8     | zero                                                                    |
// | 64     | 4096  | the first 4096 bytes of the meta page                                   |
// | 4160   | 4032  | zero                                                                    |
//
// A publication writes slot 0, syncs, writes slot 1, syncs. A power cut tears at most one of them, and after a
// publication is complete both say the same: a slot that rots later cannot bring back a state whose pages are reused.
#ifndef CHFS_KV_ROOT_FILE_HH_
#define CHFS_KV_ROOT_FILE_HH_

#include <cstdint>

namespace chfs::kv {

inline constexpr uint32_t kMetaBytes = 4096;
inline constexpr uint32_t kRootSlotBytes = 8192;

struct Root {
  uint64_t sequence = 0;
  uint64_t transaction = 0;
  uint64_t log_sequence = 0;
  uint32_t page_bytes = 0;
  uint8_t meta[kMetaBytes] = {};
};

// Loads the newer of the valid slots: 0, or -EBADMSG where neither is valid, or another negative errno.
int ReadRoot(int fd, Root* root);

// Writes and syncs both slots, one after the other: 0 or a negative errno. May block for long.
int WriteRoot(int fd, const Root& root);

}  // namespace chfs::kv

#endif  // CHFS_KV_ROOT_FILE_HH_
