#include "kv/log_format.hh"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kv/bytes.hh"

namespace chfs::kv {

static_assert(std::endian::native == std::endian::little, "the formats are little-endian and are copied as they are");

namespace {

constexpr char kMagic[8] = {'C', 'H', 'F', 'S', 'L', 'O', 'G', 0};
constexpr uint32_t kVersion = 1;

// Sequences further ahead than this cannot be: it keeps the search for late records from hashing nonsense.
constexpr uint64_t kSequencesAheadMax = uint64_t{1} << 32;

struct Segment {
  SegmentHeader header;
  SegmentImage image;
  // Where the records that follow each other end.
  size_t end = kLogRecordsStart;
};

bool ReadSegmentHeader(const SegmentImage& image, SegmentHeader* out) {
  if (image.bytes < sizeof *out) return false;
  memcpy(out, image.data, sizeof *out);
  return memcmp(out->magic, kMagic, sizeof kMagic) == 0 && out->version == kVersion &&
         out->checksum == Checksum(out, offsetof(SegmentHeader, checksum), 0);
}

bool IsEmpty(const SegmentImage& image) {
  const SegmentHeader nothing = {};
  return image.bytes >= sizeof nothing && memcmp(image.data, &nothing, sizeof nothing) == 0;
}

uint64_t RecordChecksum(const SegmentHeader& segment, const uint8_t* record, const RecordHeader& header) {
  // The usual record is small: one contiguous copy on the stack hashes faster than a streaming state.
  RecordHeader hashed = header;
  hashed.checksum = segment.number;
  const uint64_t head = Checksum(&hashed, sizeof hashed, segment.salt);
  return Checksum(record + sizeof header, header.bytes, head);
}

bool AreOperationsWhole(const uint8_t* data, const RecordHeader& header) {
  OperationReader reader(data, header.bytes);
  Operation operation;
  uint32_t count = 0;
  while (reader.Next(&operation)) count++;
  return reader.IsWhole() && count == header.operations && count > 0;
}

// Reads the record at `at`: false where there is none.
bool ReadRecord(const Segment& segment, size_t at, RecordHeader* out) {
  if (at > segment.image.bytes || segment.image.bytes - at < sizeof *out) return false;
  const uint8_t* record = segment.image.data + at;
  memcpy(out, record, sizeof *out);
  if (out->bytes > segment.image.bytes - at - sizeof *out) return false;
  return out->checksum == RecordChecksum(segment.header, record, *out) &&
         AreOperationsWhole(record + sizeof *out, *out);
}

// Follows the segment's records to the first that is missing or torn, and keeps those that come next.
void FollowRecords(Segment* segment, LogScan* scan) {
  RecordHeader header;
  for (uint64_t sequence = segment->header.first_sequence;; sequence++) {
    if (!ReadRecord(*segment, segment->end, &header) || header.sequence != sequence) return;
    scan->synced = std::max(scan->synced, header.synced);
    if (sequence == scan->last + 1) {
      const uint8_t* operations = segment->image.data + segment->end + sizeof header;
      scan->records.push_back({operations, header.bytes, sequence});
      scan->last = sequence;
    }
    segment->end += RecordBytes(header.bytes);
  }
}

// Looks behind the end of a segment for records that outlived a missing one, to learn what had been synced.
void SearchLateRecords(const Segment& segment, LogScan* scan) {
  RecordHeader header;
  for (size_t at = segment.end; at + sizeof header <= segment.image.bytes; at += 8) {
    memcpy(&header, segment.image.data + at, sizeof header);
    if (header.operations == 0 || header.sequence <= scan->last) continue;
    if (header.sequence - scan->last > kSequencesAheadMax || header.synced >= header.sequence) continue;
    if (header.synced <= scan->synced || !ReadRecord(segment, at, &header)) continue;
    scan->synced = header.synced;
  }
}

}  // namespace

SegmentHeader MakeSegmentHeader(uint64_t number, uint64_t first_sequence, uint64_t salt, uint64_t synced,
                                uint64_t file_bytes) {
  SegmentHeader header = {};
  memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.number = number;
  header.first_sequence = first_sequence;
  header.salt = salt;
  header.synced = synced;
  header.file_bytes = file_bytes;
  header.checksum = Checksum(&header, offsetof(SegmentHeader, checksum), 0);
  return header;
}

void SealRecord(const SegmentHeader& segment, uint8_t* record, RecordHeader header) {
  header.checksum = RecordChecksum(segment, record, header);
  memcpy(record, &header, sizeof header);
}

void EncodeOperation(const Operation& operation, std::vector<uint8_t>* out) {
  const uint16_t key_bytes = static_cast<uint16_t>(operation.key_bytes);
  const uint32_t value_bytes = static_cast<uint32_t>(operation.value_bytes);
  const size_t start = out->size();
  out->resize(start + kOperationHeaderBytes + key_bytes + value_bytes);
  uint8_t* at = out->data() + start;
  at[0] = static_cast<uint8_t>(operation.kind);
  memcpy(at + 1, &key_bytes, sizeof key_bytes);
  memcpy(at + 3, &value_bytes, sizeof value_bytes);
  memcpy(at + kOperationHeaderBytes, operation.key, key_bytes);
  if (value_bytes > 0) memcpy(at + kOperationHeaderBytes + key_bytes, operation.value, value_bytes);
}

bool OperationReader::Next(Operation* out) {
  if (left_ < kOperationHeaderBytes) return false;
  uint16_t key_bytes;
  uint32_t value_bytes;
  memcpy(&key_bytes, at_ + 1, sizeof key_bytes);
  memcpy(&value_bytes, at_ + 3, sizeof value_bytes);
  const uint8_t kind = at_[0];
  if (kind != static_cast<uint8_t>(OperationKind::kPut) && kind != static_cast<uint8_t>(OperationKind::kDelete)) {
    return false;
  }
  if (key_bytes < 1 || key_bytes > kKeyBytesMax || value_bytes > kValueBytesMax) return false;
  const size_t total = kOperationHeaderBytes + key_bytes + value_bytes;
  if (total > left_) return false;
  const uint8_t* key = at_ + kOperationHeaderBytes;
  *out = {static_cast<OperationKind>(kind), key, key_bytes, key + key_bytes, value_bytes};
  at_ += total;
  left_ -= total;
  return true;
}

LogScan ScanLog(const SegmentImage images[2], uint64_t base) {
  LogScan scan;
  scan.last = base;
  std::vector<Segment> segments;
  for (int i = 0; i < 2; i++) {
    SegmentHeader header;
    const bool is_valid = ReadSegmentHeader(images[i], &header);
    if (is_valid) segments.push_back({header, images[i]});
    if (is_valid ? images[i].bytes < header.file_bytes : !IsEmpty(images[i])) scan.damaged_file = i;
  }
  std::sort(segments.begin(), segments.end(),
            [](const Segment& a, const Segment& b) { return a.header.number < b.header.number; });
  for (Segment& segment : segments) {
    scan.number = std::max(scan.number, segment.header.number);
    scan.synced = std::max(scan.synced, segment.header.synced);
    FollowRecords(&segment, &scan);
  }
  for (const Segment& segment : segments) SearchLateRecords(segment, &scan);
  return scan;
}

}  // namespace chfs::kv
