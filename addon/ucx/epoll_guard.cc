#include "ucx/epoll_guard.hh"

#include <elf.h>
#include <link.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

namespace chfs::ucx {

namespace {

constexpr char kLibrary[] = "/libucs.so";
constexpr char kFunction[] = "epoll_wait";
constexpr uint32_t kBoth = EPOLLIN | EPOLLOUT;

/// On this thread: UCX's own ones call it as well, with other descriptors.
thread_local int guards = 0;
thread_local bool is_turn_of_reading = true;

int WaitForOneKind(int descriptor, epoll_event* events, int count_max, int timeout) {
  const int count = ::epoll_wait(descriptor, events, count_max, timeout);
  if (guards == 0) return count;
  for (int index = 0; index < count; index++) {
    epoll_event& event = events[index];
    if ((event.events & kBoth) != kBoth) continue;
    event.events &= ~static_cast<uint32_t>(is_turn_of_reading ? EPOLLOUT : EPOLLIN);
    is_turn_of_reading = !is_turn_of_reading;
  }
  return count;
}

#if defined(__aarch64__)
constexpr uint32_t kCallTypes[] = {R_AARCH64_JUMP_SLOT, R_AARCH64_GLOB_DAT};
#else
constexpr uint32_t kCallTypes[] = {R_X86_64_JUMP_SLOT, R_X86_64_GLOB_DAT};
#endif

/// The table by which a loaded library calls functions of others.
struct Calls {
  const ElfW(Sym) * symbols = nullptr;
  const char* names = nullptr;
  const ElfW(Rela) * first = nullptr;
  size_t bytes = 0;

  bool IsOf(const ElfW(Rela) & entry, const char* function) const {
    const auto type = static_cast<uint32_t>(ELF64_R_TYPE(entry.r_info));
    if (type != kCallTypes[0] && type != kCallTypes[1]) return false;
    return std::strcmp(names + symbols[ELF64_R_SYM(entry.r_info)].st_name, function) == 0;
  }
};

/// `table` and `size`: the tags of the one that is wanted.
Calls CallsOf(const ElfW(Dyn) * entry, int64_t table, int64_t size) {
  Calls calls;
  for (; entry->d_tag != DT_NULL; entry++) {
    const auto* address = reinterpret_cast<const void*>(entry->d_un.d_ptr);
    if (entry->d_tag == DT_SYMTAB) calls.symbols = static_cast<const ElfW(Sym)*>(address);
    if (entry->d_tag == DT_STRTAB) calls.names = static_cast<const char*>(address);
    if (entry->d_tag == table) calls.first = static_cast<const ElfW(Rela)*>(address);
    if (entry->d_tag == size) calls.bytes = entry->d_un.d_val;
  }
  return calls;
}

/// The place may have been made read-only when the library was loaded; it stays writable then.
bool Redirect(uintptr_t place) {
  const auto page_bytes = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  auto* page = reinterpret_cast<void*>(place & ~(page_bytes - 1));
  if (::mprotect(page, page_bytes, PROT_READ | PROT_WRITE) != 0) return false;
  *reinterpret_cast<void**>(place) = reinterpret_cast<void*>(&WaitForOneKind);
  return true;
}

bool RedirectAll(uintptr_t base, const Calls& calls) {
  bool is_caught = false;
  for (size_t index = 0; index < calls.bytes / sizeof(ElfW(Rela)); index++) {
    const ElfW(Rela)& entry = calls.first[index];
    if (calls.IsOf(entry, kFunction)) is_caught |= Redirect(base + entry.r_offset);
  }
  return is_caught;
}

int VisitLibrary(dl_phdr_info* library, size_t, void* is_caught) {
  if (library->dlpi_name == nullptr || std::strstr(library->dlpi_name, kLibrary) == nullptr) return 0;
  const uintptr_t base = library->dlpi_addr;
  for (int index = 0; index < library->dlpi_phnum; index++) {
    const ElfW(Phdr)& segment = library->dlpi_phdr[index];
    if (segment.p_type != PT_DYNAMIC) continue;
    const auto* section = reinterpret_cast<const ElfW(Dyn)*>(base + segment.p_vaddr);
    *static_cast<bool*>(is_caught) |= RedirectAll(base, CallsOf(section, DT_JMPREL, DT_PLTRELSZ));
    *static_cast<bool*>(is_caught) |= RedirectAll(base, CallsOf(section, DT_RELA, DT_RELASZ));
  }
  return 0;
}

}  // namespace

EpollGuard::EpollGuard() { guards++; }

EpollGuard::~EpollGuard() { guards--; }

bool CatchEpollWait() {
  bool is_caught = false;
  ::dl_iterate_phdr(VisitLibrary, &is_caught);
  return is_caught;
}

}  // namespace chfs::ucx
