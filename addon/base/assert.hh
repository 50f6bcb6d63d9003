// A broken invariant stops the process at once: going on could answer a request with another file's bytes.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace chfs {

inline void Assert(bool holds, const char* invariant) {
  if (holds) [[likely]]
    return;
  std::fprintf(stderr, "chfs: broken invariant: %s\n", invariant);
  std::abort();
}

}  // namespace chfs
