#include "kv/root_file.hh"

#include <cerrno>
#include <cstring>

#include "kv/bytes.hh"

namespace chfs::kv {

namespace {

constexpr char kMagic[8] = {'C', 'H', 'F', 'S', 'R', 'O', 'O', 'T'};
constexpr uint32_t kVersion = 1;

struct Slot {
  char magic[8];
  uint32_t version;
  uint32_t page_bytes;
  uint64_t sequence;
  uint64_t transaction;
  uint64_t log_sequence;
  uint64_t zero0;
  uint64_t checksum;
  uint64_t zero1;
  uint8_t meta[kMetaBytes];
  uint8_t zero2[kRootSlotBytes - 64 - kMetaBytes];
};
static_assert(sizeof(Slot) == kRootSlotBytes);
static_assert(offsetof(Slot, checksum) == 48 && offsetof(Slot, meta) == 64);

uint64_t SlotChecksum(Slot* slot) {
  const uint64_t found = slot->checksum;
  slot->checksum = 0;
  const uint64_t computed = Checksum(slot, sizeof *slot, 0);
  slot->checksum = found;
  return computed;
}

bool IsValid(Slot* slot) {
  return memcmp(slot->magic, kMagic, sizeof kMagic) == 0 && slot->version == kVersion &&
         slot->checksum == SlotChecksum(slot);
}

}  // namespace

int ReadRoot(int fd, Root* root) {
  bool found = false;
  for (uint64_t i = 0; i < 2; i++) {
    Slot slot;
    const int64_t got = ReadAll(fd, &slot, sizeof slot, i * kRootSlotBytes);
    if (got < 0) return static_cast<int>(got);
    if (got != sizeof slot || !IsValid(&slot) || (found && slot.sequence <= root->sequence)) continue;
    found = true;
    root->sequence = slot.sequence;
    root->transaction = slot.transaction;
    root->log_sequence = slot.log_sequence;
    root->page_bytes = slot.page_bytes;
    memcpy(root->meta, slot.meta, kMetaBytes);
  }
  return found ? 0 : -EBADMSG;
}

int WriteRoot(int fd, const Root& root) {
  Slot slot = {};
  memcpy(slot.magic, kMagic, sizeof kMagic);
  slot.version = kVersion;
  slot.page_bytes = root.page_bytes;
  slot.sequence = root.sequence;
  slot.transaction = root.transaction;
  slot.log_sequence = root.log_sequence;
  memcpy(slot.meta, root.meta, kMetaBytes);
  slot.checksum = SlotChecksum(&slot);
  for (uint64_t i = 0; i < 2; i++) {
    int error = WriteAll(fd, &slot, sizeof slot, i * kRootSlotBytes);
    if (error == 0) error = SyncData(fd);
    if (error != 0) return error;
  }
  return 0;
}

}  // namespace chfs::kv
