// The redo log's bytes, and what can be read out of them. Pure: no file is touched here, and any bytes may come in.
//
// A log is two files, `log.0` and `log.1`, each holding one segment at a time. All integers are little-endian.
//
// Segment header, at 0 (the first record stands at 4096):
//
// | offset | bytes | field                                                             |
// |--------|-------|-------------------------------------------------------------------|
// | 0      | 8     | magic "CHFSLOG" and a zero                                        |
// | 8      | 4     | version, 1                                                        |
// | 12     | 4     | zero                                                              |
// | 16     | 8     | segment number; each use of a file gets the next one              |
// | 24     | 8     | sequence of the first record                                      |
// | 32     | 8     | salt: the seed of the records' checksums, random                  |
// | 40     | 8     | the highest sequence that was known to be on the disk by then     |
// | 48     | 8     | bytes that the file has at least                                  |
// | 56     | 8     | XXH3-64 over the 56 bytes before                                  |
//
// A header lies in one sector, which a power cut writes whole or not at all. So one that is neither valid nor all
// zeros, and a file that is shorter than it was made, are damage: what that file held cannot be told from nothing.
//
// Record, at a multiple of 8:
//
// | offset | bytes | field                                                             |
// |--------|-------|-------------------------------------------------------------------|
// | 0      | 4     | bytes of the operations                                           |
// | 4      | 4     | count of the operations, at least 1                               |
// | 8      | 8     | sequence, one more than the record before                         |
// | 16     | 8     | the highest sequence that was known to be on the disk by then     |
// | 24     | 8     | XXH3-64, seeded with the salt, over header and operations, with   |
// |        |       | the segment number in place of this field                         |
// | 32     | …     | operations, then zeros up to a multiple of 8                      |
//
// Operation: u8 kind (1 put, 2 delete), u16 key bytes, u32 value bytes (0 for a delete), key, value.
//
// Salt and segment number make what an earlier use of the file left behind invalid, even where it was chosen by a user.
// The «known to be on the disk» fields tell a power cut from damage: a power cut may lose any records after the last
// sync, also ones in the middle, but where a later record says that a missing one had been synced, the log is damaged.
#ifndef CHFS_KV_LOG_FORMAT_HH_
#define CHFS_KV_LOG_FORMAT_HH_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace chfs::kv {

inline constexpr size_t kLogRecordsStart = 4096;

struct SegmentHeader {
  char magic[8];
  uint32_t version;
  uint32_t zero0;
  uint64_t number;
  uint64_t first_sequence;
  uint64_t salt;
  uint64_t synced;
  uint64_t file_bytes;
  uint64_t checksum;
};
static_assert(sizeof(SegmentHeader) == 64);

struct RecordHeader {
  uint32_t bytes;
  uint32_t operations;
  uint64_t sequence;
  uint64_t synced;
  uint64_t checksum;
};
static_assert(sizeof(RecordHeader) == 32);

enum class OperationKind : uint8_t { kPut = 1, kDelete = 2 };

inline constexpr size_t kOperationHeaderBytes = 7;

struct Operation {
  OperationKind kind;
  const uint8_t* key;
  size_t key_bytes;
  const uint8_t* value;
  size_t value_bytes;
};

// Bytes that a record with so many bytes of operations takes in the file.
inline size_t RecordBytes(size_t operation_bytes) {
  return (sizeof(RecordHeader) + operation_bytes + 7) & ~static_cast<size_t>(7);
}

SegmentHeader MakeSegmentHeader(uint64_t number, uint64_t first_sequence, uint64_t salt, uint64_t synced,
                                uint64_t file_bytes);

// Fills in the header at the front of `record`, which holds the operations behind it.
void SealRecord(const SegmentHeader& segment, uint8_t* record, RecordHeader header);

// Appends one operation in its encoded form.
void EncodeOperation(const Operation& operation, std::vector<uint8_t>* out);

// Walks over encoded operations.
class OperationReader {
 public:
  OperationReader(const uint8_t* data, size_t bytes) : at_(data), left_(bytes) {}
  // False at the end, and where the bytes are not an operation (then IsWhole() is false too).
  bool Next(Operation* out);
  bool IsWhole() const { return left_ == 0; }

 private:
  const uint8_t* at_;
  size_t left_;
};

// One file's bytes, from its beginning.
struct SegmentImage {
  const uint8_t* data = nullptr;
  size_t bytes = 0;
};

// A record to replay; `operations` points into the image.
struct RecordSpan {
  const uint8_t* operations;
  uint32_t bytes;
  uint64_t sequence;
};

struct LogScan {
  // The last sequence that can be reached without a gap: `base` where there is no record after it.
  uint64_t last = 0;
  // The highest segment number seen.
  uint64_t number = 0;
  // The highest sequence that some record or header knows to have been synced. Above `last`: the log is damaged.
  uint64_t synced = 0;
  // Records after `base`, in order, whole and decodable.
  std::vector<RecordSpan> records;
  bool IsDamaged() const { return synced > last; }
  // This file's header is damaged, or its end is missing; −1 for none.
  int damaged_file = -1;
};

// Reads the records with a sequence above `base` out of the two files.
LogScan ScanLog(const SegmentImage images[2], uint64_t base);

}  // namespace chfs::kv

#endif  // CHFS_KV_LOG_FORMAT_HH_
