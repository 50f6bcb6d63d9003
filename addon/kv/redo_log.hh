// The redo log's two files: appending records with one pwrite each, switching between the files, and reading both back.
#ifndef CHFS_KV_REDO_LOG_HH_
#define CHFS_KV_REDO_LOG_HH_

#include <cstdint>
#include <string>
#include <vector>

#include "kv/bytes.hh"
#include "kv/log_format.hh"

namespace chfs::kv {

class RedoLog {
 public:
  // Opens both files in `directory`, and where `create` is set makes those that are missing. 0 or a negative errno,
  // with the reason in `error`.
  int Open(int directory, bool create, uint64_t segment_bytes, std::string* error);

  // Reads what both files hold above `base`. The scan's records live until Start(). `is_new`: nobody relies on what is
  // there, so that files may be incomplete.
  int Read(uint64_t base, bool is_new, LogScan* scan, std::string* error);

  // Begins an empty log behind everything read: both files are preallocated, forget what they held, and are synced.
  // `next_sequence - 1` must be safe on the disk by other means.
  int Start(uint64_t next_sequence, std::string* error);

  // Writes `record` (room for a RecordHeader, then `operation_bytes` of operations, then at least 7 bytes to spare).
  // `published`: everything up to it is safe without the log. 0 or a negative errno; then the log is as before, unless
  // IsBroken().
  int Append(uint8_t* record, size_t operation_bytes, uint32_t operations, uint64_t sequence, uint64_t published,
             uint64_t synced);

  // A failed record could not be taken back: whether it will be replayed is unknown.
  bool IsBroken() const { return broken_; }

  // Bytes written into the current file.
  uint64_t used() const { return end_; }
  // Bytes that can still be appended to it without asking the disk for room.
  uint64_t room() const { return room_end_ > end_ ? room_end_ - end_ : 0; }
  // Allocates another quarter of a segment behind the current file's room: 0, or -ENOSPC.
  int Extend();
  uint64_t segment_bytes() const { return segment_bytes_; }
  // The other file may be overwritten when the current one is full.
  bool IsOtherFree(uint64_t published) const { return last_sequence_[current_ ^ 1] <= published; }

  // The descriptors written to since the last call (−1 for none): a sync must fdatasync both.
  void TakeWritten(int descriptors[2]);

 private:
  int Preallocate(int file);
  int WriteHeader(int file, uint64_t first_sequence, uint64_t synced);
  int SwitchFile(uint64_t first_sequence, uint64_t synced);
  int TakeBack(int error, size_t bytes);

  Fd files_[2];
  std::vector<uint8_t> images_[2];
  uint64_t segment_bytes_ = 0;
  uint64_t number_ = 0;
  SegmentHeader header_ = {};
  int current_ = 0;
  uint64_t end_ = 0;
  uint64_t room_end_ = 0;
  uint64_t last_sequence_[2] = {0, 0};
  bool written_[2] = {false, false};
  bool broken_ = false;
};

}  // namespace chfs::kv

#endif  // CHFS_KV_REDO_LOG_HH_
