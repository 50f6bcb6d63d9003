// The one native binary: the devices of a node. C++ moves bytes, TypeScript decides.
#include <napi.h>

#include "clock/clock.hh"
#include "files/files.hh"
#include "fuse/mount.hh"
#include "fuse/session.hh"
#include "kv/kv.hh"
#include "pool/buffer_pool.hh"
#include "uring/uring.hh"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  chfs::BufferPool::Init(env, exports);
  chfs::FuseSession::Init(env, exports);
  chfs::InitMount(env, exports);
  chfs::Uring::Init(env, exports);
  chfs::Files::Init(env, exports);
  chfs::Clock::Init(env, exports);
  chfs::Kv::Init(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(chfs, Init)
