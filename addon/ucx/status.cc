#include "ucx/status.hh"

#include <cerrno>

namespace chfs::ucx {

int32_t ErrnoOf(ucs_status_t status) {
  switch (status) {
    case UCS_ERR_NO_MEMORY:
      return -ENOMEM;
    case UCS_ERR_INVALID_PARAM:
    case UCS_ERR_INVALID_ADDR:
      return -EINVAL;
    case UCS_ERR_UNREACHABLE:
    case UCS_ERR_NO_DEVICE:
      return -EHOSTUNREACH;
    case UCS_ERR_TIMED_OUT:
    case UCS_ERR_ENDPOINT_TIMEOUT:
      return -ETIMEDOUT;
    case UCS_ERR_REJECTED:
    case UCS_ERR_NOT_CONNECTED:
    case UCS_ERR_CONNECTION_RESET:
    case UCS_ERR_CANCELED:
      return -ECONNRESET;
    default:
      return -EIO;
  }
}

}  // namespace chfs::ucx
