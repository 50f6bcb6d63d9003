// UCX's status codes as errnos.
#pragma once

#include <ucs/type/status.h>

#include <cstdint>

namespace chfs::ucx {

/// A negative errno.
int32_t ErrnoOf(ucs_status_t status);

}  // namespace chfs::ucx
