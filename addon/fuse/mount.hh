// Mounting and unmounting: the few calls around /dev/fuse that Node does not have.
#pragma once

#include <napi.h>

namespace chfs {

/// Exports, each returning 0 (or a descriptor) or a negative errno:
///   mountDirect(source, mountpoint, flags, data): descriptor   mount(2) as root, with `data` behind fd=, rootmode=
///   unmount(mountpoint, flags)                                 umount2(2); may wait for writeback through the mount
///   unmountAsync(mountpoint, flags, done)                      the same on the thread pool
///   socketPair(): [ours, theirs] | −errno                      for fusermount3
///   receiveFd(socket, done)                                    a descriptor by SCM_RIGHTS, within 30 s
///   setNonBlocking(descriptor), closeFd(descriptor)
///   mountFlag                                                  the MS_* constants
void InitMount(Napi::Env env, Napi::Object exports);

}  // namespace chfs
