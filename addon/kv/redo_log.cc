#include "kv/redo_log.hh"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace chfs::kv {

namespace {

constexpr const char* kNames[2] = {"log.0", "log.1"};

// Far above what a log can grow to: a file beyond it is not ours, and is not read into memory.
constexpr int64_t kFileBytesMax = int64_t{4} << 30;

int ReadFile(int fd, std::vector<uint8_t>* out) {
  struct stat status;
  if (fstat(fd, &status) != 0) return -errno;
  if (status.st_size > kFileBytesMax) return -EFBIG;
  out->resize(static_cast<size_t>(status.st_size));
  const int64_t got = ReadAll(fd, out->data(), out->size(), 0);
  if (got < 0) return static_cast<int>(got);
  out->resize(static_cast<size_t>(got));
  return 0;
}

int RandomSalt(uint64_t* out) { return getrandom(out, sizeof *out, 0) == static_cast<ssize_t>(sizeof *out) ? 0 : -EIO; }

}  // namespace

int RedoLog::Open(int directory, bool create, uint64_t segment_bytes, std::string* error) {
  segment_bytes_ = segment_bytes;
  for (int i = 0; i < 2; i++) {
    files_[i].Reset(openat(directory, kNames[i], O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600));
    if (files_[i].valid()) continue;
    const int failure = -errno;
    *error = std::string(kNames[i]) + ": " + strerror(-failure);
    return failure;
  }
  return 0;
}

int RedoLog::Read(uint64_t base, bool is_new, LogScan* scan, std::string* error) {
  SegmentImage images[2];
  for (int i = 0; i < 2; i++) {
    const int failure = ReadFile(files_[i].get(), &images_[i]);
    if (failure != 0) {
      *error = std::string(kNames[i]) + ": " + strerror(-failure);
      return failure;
    }
    images[i] = {images_[i].data(), images_[i].size()};
  }
  *scan = ScanLog(images, base);
  number_ = scan->number;
  if (scan->damaged_file >= 0 && !is_new) {
    *error = std::string("the log is damaged: the header or the end of ") + kNames[scan->damaged_file] + " is lost";
    return -EBADMSG;
  }
  if (!scan->IsDamaged()) return 0;
  *error = "the log is damaged: record " + std::to_string(scan->last + 1) + " is missing or wrong, but records up to " +
           std::to_string(scan->synced) + " were on the disk";
  return -EBADMSG;
}

int RedoLog::Start(uint64_t next_sequence, std::string* error) {
  int failure = 0;
  for (int i = 0; i < 2 && failure == 0; i++) {
    images_[i] = {};
    last_sequence_[i] = 0;
    const SegmentHeader nothing = {};
    failure = WriteAll(files_[i].get(), &nothing, sizeof nothing, 0);
    // The header that says how long the file is goes before the file becomes shorter.
    if (failure == 0) failure = SyncData(files_[i].get());
    if (failure == 0) failure = Preallocate(i);
  }
  if (failure == 0) failure = WriteHeader(current_, next_sequence, next_sequence - 1);
  for (int i = 0; i < 2 && failure == 0; i++) {
    // fsync and not fdatasync: the preallocated size has to survive too.
    if (fsync(files_[i].get()) != 0) failure = -errno;
    written_[i] = false;
  }
  if (failure != 0) *error = std::string("the log: ") + strerror(-failure);
  return failure;
}

int RedoLog::Append(uint8_t* record, size_t operation_bytes, uint32_t operations, uint64_t sequence, uint64_t published,
                    uint64_t synced) {
  const size_t bytes = RecordBytes(operation_bytes);
  if (end_ + bytes > segment_bytes_ && end_ > kLogRecordsStart && IsOtherFree(published)) {
    const int error = SwitchFile(sequence, synced);
    if (error != 0) return error;
  }
  const size_t filled = sizeof(RecordHeader) + operation_bytes;
  memset(record + filled, 0, bytes - filled);
  SealRecord(header_, record, {static_cast<uint32_t>(operation_bytes), operations, sequence, synced, 0});
  written_[current_] = true;
  const int error = WriteAll(files_[current_].get(), record, bytes, end_);
  if (error != 0) return TakeBack(error, bytes);
  end_ += bytes;
  last_sequence_[current_] = sequence;
  return 0;
}

void RedoLog::TakeWritten(int descriptors[2]) {
  for (int i = 0; i < 2; i++) {
    descriptors[i] = written_[i] ? files_[i].get() : -1;
    written_[i] = false;
  }
}

int RedoLog::Preallocate(int file) {
  const int fd = files_[file].get();
  struct stat status;
  if (fstat(fd, &status) != 0) return -errno;
  if (static_cast<uint64_t>(status.st_size) > segment_bytes_ &&
      ftruncate(fd, static_cast<off_t>(segment_bytes_)) != 0) {
    return -errno;
  }
  if (fallocate(fd, 0, 0, static_cast<off_t>(segment_bytes_)) == 0) return 0;
  if (errno != EOPNOTSUPP) return -errno;
  // Where the file system cannot reserve, only written bytes are sure to have room.
  const std::vector<uint8_t> zeros(1 << 20);
  for (uint64_t at = static_cast<uint64_t>(status.st_size); at < segment_bytes_; at += zeros.size()) {
    const size_t bytes = std::min<uint64_t>(zeros.size(), segment_bytes_ - at);
    const int error = WriteAll(fd, zeros.data(), bytes, at);
    if (error != 0) return error;
  }
  return 0;
}

int RedoLog::WriteHeader(int file, uint64_t first_sequence, uint64_t synced) {
  uint64_t salt;
  int error = RandomSalt(&salt);
  if (error != 0) return error;
  // The number is used up even where the write fails, since the header may have reached the file.
  number_++;
  const SegmentHeader header = MakeSegmentHeader(number_, first_sequence, salt, synced, segment_bytes_);
  written_[file] = true;
  error = WriteAll(files_[file].get(), &header, sizeof header, 0);
  if (error != 0) return error;
  header_ = header;
  current_ = file;
  end_ = kLogRecordsStart;
  room_end_ = segment_bytes_;
  last_sequence_[file] = 0;
  return 0;
}

int RedoLog::Extend() {
  const uint64_t more = segment_bytes_ / 4;
  if (fallocate(files_[current_].get(), 0, static_cast<off_t>(room_end_), static_cast<off_t>(more)) != 0) {
    // A file system that cannot reserve is asked by writing, as the log grows.
    if (errno != EOPNOTSUPP) return -errno;
  }
  room_end_ += more;
  return 0;
}

int RedoLog::SwitchFile(uint64_t first_sequence, uint64_t synced) {
  const int other = current_ ^ 1;
  struct stat status;
  if (fstat(files_[other].get(), &status) != 0) return -errno;
  // A file that once had to grow gives its surplus back.
  if (static_cast<uint64_t>(status.st_size) > segment_bytes_ &&
      ftruncate(files_[other].get(), static_cast<off_t>(segment_bytes_)) != 0) {
    return -errno;
  }
  return WriteHeader(other, first_sequence, synced);
}

int RedoLog::TakeBack(int error, size_t bytes) {
  // Part of the record, or by a lying device all of it, may be in the file; it must never be replayed.
  const RecordHeader nothing = {};
  const size_t cleared = std::min(bytes, sizeof nothing);
  struct stat status;
  if (fstat(files_[current_].get(), &status) != 0) {
    broken_ = true;
  } else if (static_cast<uint64_t>(status.st_size) > end_) {
    const size_t reach = std::min<uint64_t>(cleared, static_cast<uint64_t>(status.st_size) - end_);
    if (WriteAll(files_[current_].get(), &nothing, reach, end_) != 0) broken_ = true;
  }
  return error;
}

}  // namespace chfs::kv
