// Opening and closing the engine. Recovery is the same after a clean stop, a kill and a power cut: the published root
// is put back into LMDB's file, whatever stands there, and the log is replayed onto it.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kv/engine.hh"
#include "kv/environment.hh"

namespace chfs::kv {

namespace {

constexpr const char* kRootName = "root";
constexpr const char* kNewRootName = "root.new";
constexpr const char* kDataName = "data.mdb";

// A long log is replayed in several LMDB transactions, so that memory stays bounded.
constexpr uint64_t kReplayOperations = 16384;

int Explain(int error, const std::string& what, std::string* out) {
  if (out->empty()) *out = what + ": " + strerror(-error);
  return error;
}

}  // namespace

int Engine::Open(const std::string& directory, const Options& options, std::string* error) {
  path_ = directory;
  const int result = OpenFiles(options, error);
  if (result != 0) Close();
  return result;
}

int Engine::OpenFiles(const Options& options, std::string* error) {
  directory_.Reset(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory_.valid()) return Explain(-errno, path_, error);
  root_.Reset(openat(directory_.get(), kRootName, O_RDWR | O_CLOEXEC));
  if (!root_.valid() && errno != ENOENT) return Explain(-errno, kRootName, error);
  const int result = root_.valid() ? Recover(options, error) : Create(options, error);
  if (result != 0) return Explain(result, path_, error);
  RefreshUsed();
  reserve_.TopUp(0);
  return 0;
}

// The root file is what makes a store: until it has its name, a crash leaves nothing that anybody relies on.
int Engine::Create(const Options& options, std::string* error) {
  int result = log_.Open(directory_.get(), true, options.segment_bytes, error);
  if (result != 0) return result;
  LogScan scan;
  result = log_.Read(0, true, &scan, error);
  if (result != 0) return result;
  if (!scan.records.empty()) return Explain(-EBADMSG, "the log holds records but there is no root file", error);
  if (unlinkat(directory_.get(), kDataName, 0) != 0 && errno != ENOENT) return Explain(-errno, kDataName, error);
  result = OpenData(options, error);
  if (result != 0) return result;
  result = Begin();
  if (result == 0) result = WriteBookkeeping();
  if (result != 0) return Explain(result, kDataName, error);
  MDB_txn* txn = txn_;
  txn_ = nullptr;
  result = FromLmdb(mdb_txn_commit(txn));
  if (result == 0) result = Begin();
  if (result != 0) return Explain(result, kDataName, error);
  RefreshUsed();
  result = log_.Start(1, error);
  if (result != 0) return result;
  result = PublishFirst();
  return result != 0 ? Explain(result, kRootName, error) : 0;
}

int Engine::PublishFirst() {
  root_.Reset(openat(directory_.get(), kNewRootName, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!root_.valid()) return -errno;
  // A sequence that cannot be: BeginPublication() would find the empty state published already.
  figures_.published = UINT64_MAX;
  const auto publication = BeginPublication();
  if (publication == nullptr) return -EIO;
  const int result = EndPublication(publication, publication->Finish());
  if (result != 0) return result;
  if (fsync(root_.get()) != 0 || renameat(directory_.get(), kNewRootName, directory_.get(), kRootName) != 0 ||
      fsync(directory_.get()) != 0) {
    return -errno;
  }
  return 0;
}

int Engine::Recover(const Options& options, std::string* error) {
  Root root;
  int result = ReadRoot(root_.get(), &root);
  if (result == -EBADMSG) *error = "the root file is damaged: neither of its slots is valid";
  if (result != 0) return Explain(result, kRootName, error);
  result = log_.Open(directory_.get(), false, options.segment_bytes, error);
  if (result != 0) return result;
  LogScan scan;
  // Nothing is changed before the log has been read and found whole.
  result = log_.Read(root.log_sequence, false, &scan, error);
  if (result != 0) return result;
  const Fd data(openat(directory_.get(), kDataName, O_RDWR | O_CLOEXEC));
  if (!data.valid()) return Explain(-errno, kDataName, error);
  result = RestoreRoot(data.get(), root);
  if (result != 0) return Explain(result, kDataName, error);
  root_sequence_ = root.sequence;
  figures_.committed = figures_.checkpointed = figures_.published = figures_.synced = root.log_sequence;
  result = OpenData(options, error);
  if (result == 0) result = OpenGuard();
  if (result == 0 && mdb_txn_id(published_guard_) != root.transaction) result = -EBADMSG;
  if (result == 0) result = Begin();
  uint64_t included = 0;
  if (result == 0) result = ReadBookkeeping(&included);
  if (result == 0 && included != root.log_sequence) result = -EBADMSG;
  if (result == 0) RefreshUsed();
  if (result == 0) result = Replay(scan);
  if (result == 0) result = PublishNow();
  if (result != 0) return Explain(result, kDataName, error);
  return log_.Start(figures_.committed + 1, error);
}

int Engine::OpenData(const Options& options, std::string* error) {
  const uint64_t map_bytes = options.map_bytes != 0 ? options.map_bytes : MapBytesFor(directory_.get());
  const int result = OpenEnvironment((path_ + "/" + kDataName).c_str(), map_bytes, &env_);
  if (result != 0) return Explain(result, kDataName, error);
  int fd;
  if (mdb_env_get_fd(env_, &fd) != 0) return -EIO;
  reserve_.Open(fd, options.reserve_bytes);
  return 0;
}

int Engine::OpenGuard() { return FromLmdb(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &published_guard_)); }

int Engine::Replay(const LogScan& scan) {
  for (const RecordSpan& record : scan.records) {
    OperationReader reader(record.operations, record.bytes);
    Operation operation;
    while (reader.Next(&operation)) {
      const bool is_put = operation.kind == OperationKind::kPut;
      uint8_t stored[kValueBytesMax + sizeof(uint32_t)];
      if (is_put) {
        const uint32_t checksum =
            ValueChecksum(operation.key, operation.key_bytes, operation.value, operation.value_bytes);
        memcpy(stored, operation.value, operation.value_bytes);
        memcpy(stored + operation.value_bytes, &checksum, sizeof checksum);
      }
      const int error = Apply(operation.key, operation.key_bytes, is_put ? stored : nullptr,
                              is_put ? operation.value_bytes + sizeof(uint32_t) : 0);
      if (error != 0) return error;
    }
    figures_.committed = record.sequence;
    if (figures_.operations_since_checkpoint < kReplayOperations) continue;
    const int error = Checkpoint();
    if (error != 0) return error;
  }
  return 0;
}

void Engine::Close() {
  CloseCursor();
  if (txn_ != nullptr) mdb_txn_abort(txn_);
  if (published_guard_ != nullptr) mdb_txn_abort(published_guard_);
  if (coming_guard_ != nullptr) mdb_txn_abort(coming_guard_);
  txn_ = published_guard_ = coming_guard_ = nullptr;
  publication_ = nullptr;
  if (env_ != nullptr) mdb_env_close(env_);
  env_ = nullptr;
  root_.Reset(-1);
  directory_.Reset(-1);
  log_ = RedoLog();
  batch_.Clear();
  dead_ = true;
}

}  // namespace chfs::kv
