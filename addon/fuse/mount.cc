#include "fuse/mount.hh"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "base/unique_fd.hh"

namespace chfs {

namespace {

constexpr int kReceiveTimeoutMs = 30'000;

Napi::Value Result(const Napi::CallbackInfo& info, int result) { return Napi::Number::New(info.Env(), result); }

Napi::Value MountDirect(const Napi::CallbackInfo& info) {
  const std::string source = info[0].As<Napi::String>();
  const std::string mountpoint = info[1].As<Napi::String>();
  const uint32_t flags = info[2].As<Napi::Number>().Uint32Value();
  const std::string extra = info[3].As<Napi::String>();
  UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (device.get() < 0) return Result(info, -errno);
  std::string data = "fd=" + std::to_string(device.get()) + ",rootmode=40000,user_id=" + std::to_string(::getuid()) +
                     ",group_id=" + std::to_string(::getgid());
  if (!extra.empty()) data += "," + extra;
  if (::mount(source.c_str(), mountpoint.c_str(), "fuse.chfs", flags, data.c_str()) != 0) return Result(info, -errno);
  return Result(info, device.release());
}

int UnmountNow(const std::string& mountpoint, int flags) {
  return ::umount2(mountpoint.c_str(), flags) == 0 ? 0 : -errno;
}

Napi::Value Unmount(const Napi::CallbackInfo& info) {
  return Result(info, UnmountNow(info[0].As<Napi::String>(), info[1].As<Napi::Number>().Int32Value()));
}

/// One call on the thread pool; `done` gets its result.
template <typename Call>
class PoolCall final : public Napi::AsyncWorker {
 public:
  PoolCall(Napi::Function done, Call call) : Napi::AsyncWorker(done, "chfs mount"), call_(std::move(call)) {}
  void Execute() override { result_ = call_(); }
  void OnOK() override { Callback().Call({Napi::Number::New(Env(), result_)}); }

 private:
  Call call_;
  int result_ = 0;
};

template <typename Call>
void OnPool(Napi::Value done, Call call) {
  (new PoolCall<Call>(done.As<Napi::Function>(), std::move(call)))->Queue();
}

/// While it waits for the writeback of a dirty mapping the umount needs this process's loop, so it has its own thread.
void UnmountAsync(const Napi::CallbackInfo& info) {
  OnPool(info[2], [mountpoint = info[0].As<Napi::String>().Utf8Value(),
                   flags = info[1].As<Napi::Number>().Int32Value()] { return UnmountNow(mountpoint, flags); });
}

Napi::Value SocketPair(const Napi::CallbackInfo& info) {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return Result(info, -errno);
  const Napi::Array pair = Napi::Array::New(info.Env(), 2);
  pair.Set(0u, sockets[0]);
  pair.Set(1u, sockets[1]);
  return pair;
}

/// −ETIMEDOUT when nothing came, −ECONNRESET when the sender closed without sending a descriptor.
int ReceiveNow(int socket) {
  pollfd readable{.fd = socket, .events = POLLIN, .revents = 0};
  int ready;
  do {
    ready = ::poll(&readable, 1, kReceiveTimeoutMs);
  } while (ready < 0 && errno == EINTR);
  if (ready < 0) return -errno;
  if (ready == 0) return -ETIMEDOUT;
  char byte = 0;
  iovec data{.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t received;
  do {
    received = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return -errno;
  const cmsghdr* header = received == 0 ? nullptr : CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) return -ECONNRESET;
  return *reinterpret_cast<const int*>(CMSG_DATA(header));
}

void ReceiveFd(const Napi::CallbackInfo& info) {
  OnPool(info[1], [socket = info[0].As<Napi::Number>().Int32Value()] { return ReceiveNow(socket); });
}

Napi::Value SetNonBlocking(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>();
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return Result(info, -errno);
  return Result(info, 0);
}

/// exit(3) joins the threads of the pool; one of them may wait in a call on a mount that hangs, for ever.
void ExitNow(const Napi::CallbackInfo& info) { ::_exit(info[0].As<Napi::Number>()); }

Napi::Value CloseFd(const Napi::CallbackInfo& info) {
  return Result(info, ::close(info[0].As<Napi::Number>().Int32Value()) == 0 ? 0 : -errno);
}

}  // namespace

void InitMount(Napi::Env env, Napi::Object exports) {
  exports.Set("mountDirect", Napi::Function::New<MountDirect>(env, "mountDirect"));
  exports.Set("unmount", Napi::Function::New<Unmount>(env, "unmount"));
  exports.Set("unmountAsync", Napi::Function::New<UnmountAsync>(env, "unmountAsync"));
  exports.Set("socketPair", Napi::Function::New<SocketPair>(env, "socketPair"));
  exports.Set("receiveFd", Napi::Function::New<ReceiveFd>(env, "receiveFd"));
  exports.Set("setNonBlocking", Napi::Function::New<SetNonBlocking>(env, "setNonBlocking"));
  exports.Set("closeFd", Napi::Function::New<CloseFd>(env, "closeFd"));
  exports.Set("exitNow", Napi::Function::New<ExitNow>(env, "exitNow"));
  constexpr std::pair<const char*, unsigned long> kFlags[] = {
      {"RDONLY", MS_RDONLY},           {"NOSUID", MS_NOSUID},           {"NODEV", MS_NODEV},
      {"NOEXEC", MS_NOEXEC},           {"SYNCHRONOUS", MS_SYNCHRONOUS}, {"DIRSYNC", MS_DIRSYNC},
      {"NOATIME", MS_NOATIME},         {"NODIRATIME", MS_NODIRATIME},   {"RELATIME", MS_RELATIME},
      {"STRICTATIME", MS_STRICTATIME}, {"LAZYTIME", MS_LAZYTIME},
  };
  const Napi::Object flags = Napi::Object::New(env);
  for (const auto& [name, bit] : kFlags) flags.Set(name, static_cast<double>(bit));
  exports.Set("mountFlag", flags);
}

}  // namespace chfs
