#include "kv/kv.hh"

#include <cerrno>

#include "base/hot_call.hh"
#include "kv/bytes.hh"
#include "kv/job.hh"

namespace chfs {

namespace {

constexpr size_t kKeyScratchBytes = 512;
constexpr size_t kValueScratchBytes = kv::kValueBytesMax + 64;

// A length that is no number has become 0, which no key may have.
size_t Length(int32_t argument) { return argument > 0 ? static_cast<size_t>(argument) : 0; }

uint64_t Bytes(const Napi::CallbackInfo& info, size_t index) {
  int64_t bytes = 0;
  napi_get_value_int64(info.Env(), info[index], &bytes);
  return bytes > 0 ? static_cast<uint64_t>(bytes) : 0;
}

}  // namespace

struct Kv::SyncJob : kv::Job {
  SyncJob(Kv* kv_in, Napi::Object owner, Napi::Function done) : Job(owner, done), kv(kv_in) {
    sequence = kv->engine_.BeginSync(descriptors);
    kv->running_++;
  }
  ~SyncJob() override { kv->running_--; }

  void Run() override {
    for (const int fd : descriptors) {
      if (fd >= 0 && result == 0) result = kv::SyncData(fd);
    }
  }

  int End() override {
    const int error = kv->engine_.EndSync(sequence, result);
    kv->RefreshFigures();
    return error;
  }

  Kv* kv;
  uint64_t sequence = 0;
  int descriptors[2] = {-1, -1};
  // A job that was cancelled before it ran has synced nothing.
  int result = 0;
};

struct Kv::PublishJob : kv::Job {
  PublishJob(Kv* kv_in, std::shared_ptr<kv::Publication> publication_in, Napi::Object owner, Napi::Function done)
      : Job(owner, done), kv(kv_in), publication(std::move(publication_in)) {
    kv->running_++;
  }
  ~PublishJob() override { kv->running_--; }

  void Run() override { publication->Run(); }

  int End() override {
    const int error = kv->engine_.EndPublication(publication, publication->Finish());
    kv->RefreshFigures();
    return error;
  }

  Kv* kv;
  std::shared_ptr<kv::Publication> publication;
};

void Kv::Init(Napi::Env env, Napi::Object exports) {
  const Napi::Function constructor = DefineClass(env, "Kv",
                                                 {
                                                     InstanceMethod<&Kv::Abort>("abort"),
                                                     InstanceMethod<&Kv::Checkpoint>("checkpoint"),
                                                     InstanceMethod<&Kv::PublishNow>("publishNow"),
                                                     InstanceMethod<&Kv::TopUp>("topUp"),
                                                     InstanceMethod<&Kv::ExtendLog>("extendLog"),
                                                     InstanceMethod<&Kv::Publish>("publish"),
                                                     InstanceMethod<&Kv::Sync>("sync"),
                                                     InstanceMethod<&Kv::Close>("close"),
                                                 });
  exports.Set("Kv", constructor);
}

Kv::Kv(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Kv>(info) {
  const Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsString()) {
    Napi::TypeError::New(env, "new Kv(directory, segmentBytes, reserveBytes, mapBytes)").ThrowAsJavaScriptException();
    return;
  }
  kv::Options options;
  options.segment_bytes = Bytes(info, 1);
  options.reserve_bytes = Bytes(info, 2);
  options.map_bytes = Bytes(info, 3);
  std::string reason;
  const int error = engine_.Open(info[0].As<Napi::String>().Utf8Value(), options, &reason);
  if (error != 0) {
    const Napi::Error thrown = Napi::Error::New(env, reason);
    thrown.Value().Set("errno", Napi::Number::New(env, -error));
    thrown.ThrowAsJavaScriptException();
    return;
  }
  key_ = MakeScratch("key", kKeyScratchBytes);
  value_ = MakeScratch("value", kValueScratchBytes);
  sizes_ = reinterpret_cast<int32_t*>(MakeScratch("sizes", sizeof(int32_t)));
  figures_ = reinterpret_cast<double*>(MakeScratch("figures", kFigureCount * sizeof(double)));
  RefreshFigures();
  DefineHotCall<&Kv::Get, 1>(Value(), "get", this);
  DefineHotCall<&Kv::Put, 2>(Value(), "put", this);
  DefineHotCall<&Kv::Delete, 1>(Value(), "delete", this);
  DefineHotCall<&Kv::Seek, 1>(Value(), "seek", this);
  DefineHotCall<&Kv::Commit, 0>(Value(), "commit", this);
}

int32_t Kv::Get(const int32_t* arguments) {
  const int64_t result = engine_.Get(key_, Length(arguments[0]), value_);
  if (result >= 0) *sizes_ = static_cast<int32_t>(result);
  return static_cast<int32_t>(result);
}

int32_t Kv::Put(const int32_t* arguments) {
  return engine_.Put(key_, Length(arguments[0]), value_, Length(arguments[1]));
}

int32_t Kv::Delete(const int32_t* arguments) { return engine_.Delete(key_, Length(arguments[0])); }

int32_t Kv::Seek(const int32_t* arguments) { return engine_.Seek(key_, Length(arguments[0]), value_, sizes_); }

int32_t Kv::Commit(const int32_t*) {
  const int result = engine_.Commit();
  RefreshFigures();
  return result;
}

Napi::Value Kv::Abort(const Napi::CallbackInfo& info) { return Result(info, engine_.Abort()); }

Napi::Value Kv::Checkpoint(const Napi::CallbackInfo& info) { return Result(info, engine_.Checkpoint()); }

Napi::Value Kv::PublishNow(const Napi::CallbackInfo& info) { return Result(info, engine_.PublishNow()); }

Napi::Value Kv::TopUp(const Napi::CallbackInfo& info) { return Result(info, engine_.TopUpReserve() ? 0 : -ENOSPC); }

Napi::Value Kv::ExtendLog(const Napi::CallbackInfo& info) { return Result(info, engine_.ExtendLog()); }

// publish(done): 1 where `done` will be called, 0 where there is nothing to publish, or a negative errno.
Napi::Value Kv::Publish(const Napi::CallbackInfo& info) {
  auto publication = engine_.BeginPublication();
  if (publication == nullptr) return Result(info, engine_.IsDead() ? -EIO : 0);
  const Napi::Object self = info.This().As<Napi::Object>();
  auto* job = new PublishJob(this, publication, self, info[0].As<Napi::Function>());
  if (kv::Job::Queue(info.Env(), job)) return Result(info, 1);
  return Result(info, engine_.EndPublication(publication, publication->Finish()));
}

// sync(done): 1, and `done` will be called; or a negative errno.
Napi::Value Kv::Sync(const Napi::CallbackInfo& info) {
  if (engine_.IsDead()) return Result(info, -EIO);
  auto* job = new SyncJob(this, info.This().As<Napi::Object>(), info[0].As<Napi::Function>());
  return Result(info, kv::Job::Queue(info.Env(), job) ? 1 : -EAGAIN);
}

Napi::Value Kv::Close(const Napi::CallbackInfo& info) {
  if (running_ > 0) return Result(info, -EBUSY);
  engine_.Close();
  return Result(info, 0);
}

uint8_t* Kv::MakeScratch(const char* name, size_t bytes) {
  const Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(Env(), bytes);
  scratches_[scratch_count_] = Napi::Persistent(buffer);
  scratch_count_++;
  Value().Set(name, buffer);
  return static_cast<uint8_t*>(const_cast<Napi::ArrayBuffer&>(buffer).Data());
}

Napi::Value Kv::Result(const Napi::CallbackInfo& info, int64_t result) {
  RefreshFigures();
  return Napi::Number::New(info.Env(), static_cast<double>(result));
}

void Kv::RefreshFigures() {
  const kv::Figures& figures = engine_.figures();
  const auto set = [this](Figure index, uint64_t value) { figures_[index] = static_cast<double>(value); };
  set(kCommitted, figures.committed);
  set(kSynced, figures.synced);
  set(kCheckpointed, figures.checkpointed);
  set(kPublished, figures.published);
  set(kOperationsSinceCheckpoint, figures.operations_since_checkpoint);
  set(kOperationsSincePublication, figures.operations_since_publication);
  set(kDirtyPages, engine_.DirtyPages());
  set(kCheckpointMicroseconds, figures.checkpoint_us);
  set(kUsedBytes, figures.used_bytes);
  set(kLogUsedBytes, engine_.log().used());
  set(kLogRoomBytes, engine_.log().room());
  set(kIsOtherSegmentFree, engine_.IsOtherSegmentFree());
  set(kCanGrow, engine_.CanGrow());
  set(kReserveBytes, engine_.ReserveAvailable());
  set(kIsTight, engine_.IsTight());
  set(kIsDead, engine_.IsDead());
}

}  // namespace chfs
