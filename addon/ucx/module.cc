// The second native binary, which alone needs UCX: only a node that has peers loads it (see lib/native/ucx-binary.ts).
#include <napi.h>

#include "ucx/transport.hh"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  chfs::ucx::Transport::Init(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(chfs_ucx, Init)
