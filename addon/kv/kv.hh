// The Kv class as JavaScript sees it: scratch arrays, lengths and negative errnos across the border, and the two jobs
// that must not run on the loop. Everything else is in the engine.
#ifndef CHFS_KV_KV_HH_
#define CHFS_KV_KV_HH_

#include <napi.h>

#include <memory>

#include "kv/engine.hh"

namespace chfs {

// new Kv(directory, segmentBytes, reserveBytes, mapBytes): opens or makes the store; blocks; throws an Error whose
// `errno` is positive.
class Kv : public Napi::ObjectWrap<Kv> {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  explicit Kv(const Napi::CallbackInfo& info);

 private:
  // Indices into the Float64Array `figures`, as lib/native/kv.ts reads them.
  enum Figure : size_t {
    kCommitted,
    kSynced,
    kCheckpointed,
    kPublished,
    kOperationsSinceCheckpoint,
    kOperationsSincePublication,
    kDirtyPages,
    kCheckpointMicroseconds,
    kUsedBytes,
    kLogUsedBytes,
    kLogRoomBytes,
    kIsOtherSegmentFree,
    kCanGrow,
    kReserveBytes,
    kIsTight,
    kIsDead,
    kFigureCount,
  };

  struct SyncJob;
  struct PublishJob;

  // Hot calls (see base/hot_call.hh): get(keyBytes), put(keyBytes, valueBytes), delete(keyBytes), seek(keyBytes),
  // commit().
  int32_t Get(const int32_t* arguments);
  int32_t Put(const int32_t* arguments);
  int32_t Delete(const int32_t* arguments);
  int32_t Seek(const int32_t* arguments);
  int32_t Commit(const int32_t* arguments);

  Napi::Value Abort(const Napi::CallbackInfo& info);
  Napi::Value Checkpoint(const Napi::CallbackInfo& info);
  Napi::Value PublishNow(const Napi::CallbackInfo& info);
  Napi::Value TopUp(const Napi::CallbackInfo& info);
  Napi::Value ExtendLog(const Napi::CallbackInfo& info);
  Napi::Value Publish(const Napi::CallbackInfo& info);
  Napi::Value Sync(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  uint8_t* MakeScratch(const char* name, size_t bytes);
  Napi::Value Result(const Napi::CallbackInfo& info, int64_t result);
  void RefreshFigures();

  kv::Engine engine_;
  Napi::Reference<Napi::ArrayBuffer> scratches_[4];
  size_t scratch_count_ = 0;
  uint8_t* key_ = nullptr;
  uint8_t* value_ = nullptr;
  int32_t* sizes_ = nullptr;
  double* figures_ = nullptr;
  // Jobs under way; closing waits for none of them and is refused.
  int running_ = 0;
};

}  // namespace chfs

#endif  // CHFS_KV_KV_HH_
