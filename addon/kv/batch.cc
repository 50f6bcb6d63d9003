#include "kv/batch.hh"

namespace chfs::kv {

namespace {

// Buffers that one great batch made large are given back, so that they do not stay for ever.
constexpr size_t kKeptBytes = 1 << 20;

void Shrink(std::vector<uint8_t>* buffer) {
  if (buffer->capacity() > kKeptBytes) std::vector<uint8_t>().swap(*buffer);
  buffer->clear();
}

}  // namespace

void Batch::Add(const Operation& operation, const uint8_t* before, size_t before_bytes) {
  const size_t key_at = log_.size() + kOperationHeaderBytes;
  EncodeOperation(operation, &log_);
  steps_.push_back({key_at, before_.size(), static_cast<uint32_t>(before_bytes),
                    static_cast<uint16_t>(operation.key_bytes), before != nullptr});
  if (before != nullptr) before_.insert(before_.end(), before, before + before_bytes);
}

uint8_t* Batch::Record() {
  log_.reserve(log_.size() + 8);
  return log_.data();
}

bool Batch::TakeUndo(Undo* out) {
  if (steps_.empty()) return false;
  const Step step = steps_.back();
  steps_.pop_back();
  // An empty value still has its checksum, so a present one is never null.
  *out = {log_.data() + step.key_at, step.key_bytes, step.was_present ? before_.data() + step.before_at : nullptr,
          step.before_bytes};
  return true;
}

void Batch::Clear() {
  Shrink(&log_);
  Shrink(&before_);
  steps_.clear();
  log_.resize(sizeof(RecordHeader));
}

}  // namespace chfs::kv
