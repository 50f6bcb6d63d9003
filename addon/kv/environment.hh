// The LMDB environment of a store: restoring its published root, opening it with a map that fits, and the guards that
// keep the pages of a root from being reused.
#ifndef CHFS_KV_ENVIRONMENT_HH_
#define CHFS_KV_ENVIRONMENT_HH_

#include <lmdb.h>

#include <cstdint>
#include <string>

#include "kv/root_file.hh"

namespace chfs::kv {

// A negative errno for what LMDB returned: MDB_NOTFOUND is -ENOENT, a full map -ENOSPC, damage -EIO.
int FromLmdb(int code);

// Opens `path` (an existing file, or a new one is made): 0 or a negative errno. `map_bytes` is halved until the
// kernel can map it.
int OpenEnvironment(const char* path, uint64_t map_bytes, MDB_env** out);

// A map for a store in `directory`: the size of its file system, between 1 GiB and 1 TiB.
uint64_t MapBytesFor(int directory);

// Puts the published meta page into both meta pages of data.mdb and syncs it, so that LMDB opens exactly that state.
int RestoreRoot(int fd, const Root& root);

// Copies the meta page of the newest transaction, `transaction`, into `root`.
int CaptureRoot(int fd, uint32_t page_bytes, uint64_t transaction, Root* root);

// The number of pages in free lists that a transaction may take while the oldest reader stands at `reader`.
uint64_t CountReusablePages(MDB_txn* reader);

}  // namespace chfs::kv

#endif  // CHFS_KV_ENVIRONMENT_HH_
