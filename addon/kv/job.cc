#include "kv/job.hh"

#include <memory>

namespace chfs::kv {

bool Job::Queue(Napi::Env env, Job* job) {
  const auto execute = [](napi_env, void* data) { static_cast<Job*>(data)->Run(); };
  const Napi::String name = Napi::String::New(env, "chfs.kv");
  if (napi_create_async_work(env, nullptr, name, execute, OnComplete, job, &job->work_) == napi_ok) {
    if (napi_queue_async_work(env, job->work_) == napi_ok) return true;
    napi_delete_async_work(env, job->work_);
  }
  delete job;
  return false;
}

void Job::OnComplete(napi_env env, napi_status status, void* data) {
  std::unique_ptr<Job> job(static_cast<Job*>(data));
  const Napi::HandleScope scope(env);
  napi_delete_async_work(env, job->work_);
  const int result = job->End();
  // The owner lives as long as this scope. The job must be gone before the call, which may close its owner.
  const Napi::Object owner = job->owner_.Value();
  const Napi::Function done = job->done_.Value();
  job.reset();
  // Cancelled means that the environment is going away, and nobody is left to be told.
  if (status == napi_ok) done.Call(owner, {Napi::Number::New(env, result)});
}

}  // namespace chfs::kv
