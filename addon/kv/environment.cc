#include "kv/environment.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kv/bytes.hh"

namespace chfs::kv {

namespace {

constexpr uint64_t kMapBytesMin = uint64_t{1} << 30;
constexpr uint64_t kMapBytesMax = uint64_t{1} << 40;

// LMDB 0.9, data version 1, 64-bit: where a meta page holds what is needed here (mdb.c, struct MDB_page and MDB_meta).
constexpr size_t kMetaPageNumberAt = 0;
constexpr size_t kMetaMagicAt = 16;
constexpr size_t kMetaVersionAt = 20;
constexpr size_t kMetaLastPageAt = 16 + 120;
constexpr size_t kMetaTransactionAt = 16 + 128;
constexpr uint32_t kLmdbMagic = 0xBEEFC0DE;
constexpr uint32_t kLmdbDataVersion = 1;

template <typename T>
T Load(const uint8_t* page, size_t at) {
  T value;
  memcpy(&value, page + at, sizeof value);
  return value;
}

bool IsMetaOf(const uint8_t* page, uint64_t transaction) {
  return Load<uint32_t>(page, kMetaMagicAt) == kLmdbMagic && Load<uint32_t>(page, kMetaVersionAt) == kLmdbDataVersion &&
         Load<uint64_t>(page, kMetaTransactionAt) == transaction;
}

}  // namespace

int FromLmdb(int code) {
  if (code == 0) return 0;
  if (code == MDB_NOTFOUND) return -ENOENT;
  if (code == MDB_MAP_FULL) return -ENOSPC;
  return code > 0 ? -code : -EIO;
}

int OpenEnvironment(const char* path, uint64_t map_bytes, MDB_env** out) {
  for (uint64_t bytes = map_bytes;; bytes /= 2) {
    MDB_env* env = nullptr;
    int code = mdb_env_create(&env);
    if (code != 0) return FromLmdb(code);
    code = mdb_env_set_mapsize(env, bytes);
    if (code == 0) {
      code = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS | MDB_NORDAHEAD, 0600);
    }
    if (code == 0) {
      int fd;
      // LMDB leaves this one descriptor open across exec, where a child would keep the file alive.
      if (mdb_env_get_fd(env, &fd) == 0) fcntl(fd, F_SETFD, FD_CLOEXEC);
      *out = env;
      return 0;
    }
    mdb_env_close(env);
    if (code != ENOMEM || bytes / 2 < kMapBytesMin) return FromLmdb(code);
  }
}

uint64_t MapBytesFor(int directory) {
  struct statvfs figures;
  if (fstatvfs(directory, &figures) != 0) return kMapBytesMin;
  const uint64_t bytes = uint64_t{figures.f_blocks} * figures.f_frsize;
  const uint64_t rounded = (bytes + kMapBytesMin - 1) / kMapBytesMin * kMapBytesMin;
  return std::clamp(rounded, kMapBytesMin, kMapBytesMax);
}

int RestoreRoot(int fd, const Root& root) {
  if (!IsMetaOf(root.meta, root.transaction)) return -EBADMSG;
  uint8_t page[kMetaBytes];
  memcpy(page, root.meta, sizeof page);
  for (uint64_t i = 0; i < 2; i++) {
    memcpy(page + kMetaPageNumberAt, &i, sizeof i);
    const int error = WriteAll(fd, page, sizeof page, i * root.page_bytes);
    if (error != 0) return error;
  }
  // LMDB may leave its last pages unwritten where they are free; reading beyond the end would be a SIGBUS.
  const uint64_t bytes = (Load<uint64_t>(root.meta, kMetaLastPageAt) + 1) * root.page_bytes;
  struct stat status;
  if (fstat(fd, &status) != 0) return -errno;
  if (static_cast<uint64_t>(status.st_size) < bytes && ftruncate(fd, static_cast<off_t>(bytes)) != 0) return -errno;
  return SyncData(fd);
}

int CaptureRoot(int fd, uint32_t page_bytes, uint64_t transaction, Root* root) {
  root->page_bytes = page_bytes;
  root->transaction = transaction;
  const int64_t got = ReadAll(fd, root->meta, kMetaBytes, (transaction & 1) * page_bytes);
  if (got < 0) return static_cast<int>(got);
  return got == kMetaBytes && IsMetaOf(root->meta, transaction) ? 0 : -EIO;
}

uint64_t CountReusablePages(MDB_txn* reader) {
  constexpr MDB_dbi kFreeList = 0;
  MDB_cursor* cursor = nullptr;
  if (mdb_cursor_open(reader, kFreeList, &cursor) != 0) return 0;
  uint64_t pages = 0;
  MDB_val key;
  MDB_val list;
  for (int code = mdb_cursor_get(cursor, &key, &list, MDB_FIRST); code == 0;
       code = mdb_cursor_get(cursor, &key, &list, MDB_NEXT)) {
    // A record's key is the transaction that freed the pages, its first word their count.
    const uint8_t* at = static_cast<const uint8_t*>(key.mv_data);
    if (Load<uint64_t>(at, 0) >= mdb_txn_id(reader)) break;
    pages += Load<uint64_t>(static_cast<const uint8_t*>(list.mv_data), 0);
  }
  mdb_cursor_close(cursor);
  return pages;
}

}  // namespace chfs::kv
