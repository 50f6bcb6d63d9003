// Work on the libuv thread pool that ends with one call into JavaScript.
#ifndef CHFS_KV_JOB_HH_
#define CHFS_KV_JOB_HH_

#include <napi.h>

namespace chfs::kv {

// Runs once, then deletes itself. It holds its owner and its callback until then.
class Job {
 public:
  Job(Napi::Object owner, Napi::Function done) : owner_(Napi::Persistent(owner)), done_(Napi::Persistent(done)) {}
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  virtual ~Job() = default;

  // Hands the job over: false where Node refuses it; then it is deleted and `done` is not called.
  static bool Queue(Napi::Env env, Job* job);

 protected:
  // On a thread of the pool.
  virtual void Run() = 0;
  // On the loop, afterwards: what `done` is called with.
  virtual int End() = 0;

 private:
  static void OnComplete(napi_env env, napi_status status, void* data);

  Napi::ObjectReference owner_;
  Napi::FunctionReference done_;
  napi_async_work work_ = nullptr;
};

}  // namespace chfs::kv

#endif  // CHFS_KV_JOB_HH_
