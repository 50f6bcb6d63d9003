// The second native binary, which alone needs UCX: only a node that has peers loads it (see lib/native/ucx-binary.ts).
#include <napi.h>

#include "ucx/epoll_guard.hh"
#include "ucx/transport.hh"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("isGuarded", chfs::ucx::CatchEpollWait());
  chfs::ucx::Transport::Init(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(chfs_ucx, Init)
