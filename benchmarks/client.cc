// The load of the benchmarks: one workload in one directory, timed call by call, its data verified. A program of its own,
// so that what is measured is the file system and not an interpreter's calls.
//
//   client WORKLOAD DIRECTORY COUNT
//
// prints {"count", "meanNs", "p50Ns", "p99Ns", "bytes"} as one line of JSON; exits 1 with a line where a call fails or
// the data is wrong.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace {

constexpr size_t kBlock = 4096;
constexpr size_t kMebibyte = 1 << 20;
constexpr int kFiles = 1000;  // Files that are visited in turn, so that no single name is the hottest.

/// For memory that begins at a page. Elsewhere 1 MiB touches 257 pages, and where nothing is cached the kernel makes two
/// requests of it, since one may have 256.
template <class T>
struct PageAllocator {
  using value_type = T;
  T* allocate(size_t count) {
    void* memory = std::aligned_alloc(kBlock, (count * sizeof(T) + kBlock - 1) / kBlock * kBlock);
    if (memory == nullptr) std::abort();
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t) { std::free(memory); }
  bool operator==(const PageAllocator&) const { return true; }
  bool operator!=(const PageAllocator&) const { return false; }
};

using Block = std::vector<uint64_t, PageAllocator<uint64_t>>;

std::string directory;
std::vector<uint64_t> samples;
uint64_t moved = 0;

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "client: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

long Check(long result, const char* what) {
  if (result < 0) Fail(what);
  return result;
}

void Timed(const std::function<void()>& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  const auto elapsed = std::chrono::steady_clock::now() - start;
  samples.push_back(std::chrono::duration_cast<std::chrono::nanoseconds>(elapsed).count());
}

std::string Path(const char* stem, long index) { return directory + "/" + stem + std::to_string(index); }

/// The only right content of a block: every word says which file position it belongs to.
void Fill(Block& block, uint64_t offset) {
  for (size_t i = 0; i < block.size(); i++) block[i] = (offset + i * 8) * 0x9e3779b97f4a7c15u + 1;
}

void Verify(const Block& got, uint64_t offset) {
  Block expected(got.size());
  Fill(expected, offset);
  if (got != expected) {
    errno = EBADMSG;
    Fail("wrong data at " + std::to_string(offset));
  }
}

void MakeFile(const std::string& path, size_t bytes) {
  const int fd = Check(open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644), "open for writing");
  Block block(std::min(bytes, kMebibyte) / 8);
  for (size_t at = 0; at < bytes; at += block.size() * 8) {
    Fill(block, at);
    if (pwrite(fd, block.data(), block.size() * 8, at) != static_cast<ssize_t>(block.size() * 8)) Fail("write");
  }
  Check(close(fd), "close");
}

/// The files that are visited in turn; they stay from one run to the next.
void MakeSmallFiles() {
  struct stat status;
  for (int i = 0; i < kFiles; i++) {
    const std::string path = Path("s", i);
    if (stat(path.c_str(), &status) != 0 || status.st_size != kBlock) MakeFile(path, kBlock);
  }
}

/// Reads come from the file system under test, not from pages that an earlier workload left in memory.
void DropPages(int fd) {
  Check(fsync(fd), "fsync");
  if (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0) Fail("posix_fadvise");
}

void Create(long count) {
  for (long i = 0; i < count; i++) {
    const std::string path = Path("c", i);
    Timed([&] {
      const int fd = Check(open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644), "create");
      Check(close(fd), "close");
    });
  }
}

void Unlink(long count) {
  for (long i = 0; i < count; i++) {
    const std::string path = Path("c", i);
    Timed([&] { Check(unlink(path.c_str()), "unlink"); });
  }
}

void Stat(long count) {
  MakeSmallFiles();
  std::vector<std::string> paths;
  for (int i = 0; i < kFiles; i++) paths.push_back(Path("s", i));
  struct stat status;
  for (const std::string& path : paths) Check(stat(path.c_str(), &status), "stat");
  for (long i = 0; i < count; i++) {
    Timed([&] { Check(stat(paths[i % kFiles].c_str(), &status), "stat"); });
    if (status.st_size != kBlock) Fail("wrong size");
  }
}

void OpenReadClose(long count) {
  MakeSmallFiles();
  Block block(kBlock / 8);
  for (long i = 0; i < count; i++) {
    const std::string path = Path("s", i % kFiles);
    Timed([&] {
      const int fd = Check(open(path.c_str(), O_RDONLY), "open");
      if (read(fd, block.data(), kBlock) != kBlock) Fail("read");
      Check(close(fd), "close");
    });
    Verify(block, 0);
  }
}

void ReadDirectory(long count) {
  const std::string large = directory + "/large";
  if (mkdir(large.c_str(), 0755) == 0) {
    for (int i = 0; i < 10000; i++) {
      Check(close(Check(open((large + "/entry" + std::to_string(i)).c_str(), O_CREAT | O_WRONLY, 0644), "open")), "close");
    }
  }
  for (long i = 0; i < count; i++) {
    int entries = 0;
    Timed([&] {
      DIR* stream = opendir(large.c_str());
      if (stream == nullptr) Fail("opendir");
      while (readdir(stream) != nullptr) entries++;
      closedir(stream);
    });
    if (entries != 10002) Fail("wrong number of entries");
  }
}

void Random(long count, bool writes) {
  constexpr size_t kFileBytes = 64 * kMebibyte;
  const std::string path = directory + "/random";
  MakeFile(path, kFileBytes);
  const int fd = Check(open(path.c_str(), O_RDWR), "open");
  DropPages(fd);
  Block block(kBlock / 8);
  uint64_t state = 1;
  for (long i = 0; i < count; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const uint64_t offset = (state >> 33) % (kFileBytes / kBlock) * kBlock;
    if (writes) Fill(block, offset);
    Timed([&] {
      const ssize_t bytes = writes ? pwrite(fd, block.data(), kBlock, offset) : pread(fd, block.data(), kBlock, offset);
      if (bytes != kBlock) Fail("4 KiB");
    });
    if (!writes) Verify(block, offset);
    moved += kBlock;
  }
  if (writes) {
    DropPages(fd);
    block.resize(kMebibyte / 8);
    for (uint64_t offset = 0; offset < kFileBytes; offset += kMebibyte) {
      if (pread(fd, block.data(), kMebibyte, offset) != kMebibyte) Fail("read back");
      Verify(block, offset);
    }
  }
  Check(close(fd), "close");
}

void Sequential(long count, bool writes) {
  const std::string path = directory + "/sequential";
  Block block(kMebibyte / 8);
  if (!writes) MakeFile(path, count * kMebibyte);
  const int fd = Check(open(path.c_str(), writes ? O_RDWR | O_CREAT | O_TRUNC : O_RDONLY, 0644), "open");
  if (!writes) DropPages(fd);
  for (long i = 0; i < count; i++) {
    if (writes) Fill(block, i * kMebibyte);
    Timed([&] {
      const ssize_t bytes = writes ? write(fd, block.data(), kMebibyte) : read(fd, block.data(), kMebibyte);
      if (bytes != kMebibyte) Fail("1 MiB");
    });
    if (!writes) Verify(block, i * kMebibyte);
    moved += kMebibyte;
  }
  if (writes) {
    DropPages(fd);
    for (long i = 0; i < count; i++) {
      if (pread(fd, block.data(), kMebibyte, i * kMebibyte) != kMebibyte) Fail("read back");
      Verify(block, i * kMebibyte);
    }
  }
  Check(close(fd), "close");
}

/// What a null file system can do too: it has one file named `file` and accepts others.
void Fstat(long count) {
  const int fd = Check(open((directory + "/file").c_str(), O_RDONLY), "open");
  struct stat status;
  for (long i = 0; i < count; i++) Timed([&] { Check(fstat(fd, &status), "fstat"); });
  Check(close(fd), "close");
}

void StatOne(long count) {
  const std::string path = directory + "/file";
  struct stat status;
  for (long i = 0; i < count; i++) Timed([&] { Check(stat(path.c_str(), &status), "stat"); });
}

void OpenClose(long count) {
  const std::string path = directory + "/file";
  for (long i = 0; i < count; i++) {
    Timed([&] { Check(close(Check(open(path.c_str(), O_RDONLY), "open")), "close"); });
  }
}

void CreateUnlink(long count) {
  for (long i = 0; i < count; i++) {
    const std::string path = Path("new", i % 16);
    Timed([&] {
      Check(close(Check(open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644), "create")), "close");
      Check(unlink(path.c_str()), "unlink");
    });
  }
}

void Report() {
  uint64_t total = 0;
  for (const uint64_t sample : samples) total += sample;
  const size_t count = samples.size();
  std::sort(samples.begin(), samples.end());
  std::printf("{\"count\":%zu,\"meanNs\":%.0f,\"p50Ns\":%lu,\"p99Ns\":%lu,\"bytes\":%lu}\n", count,
              static_cast<double>(total) / count, samples[count / 2], samples[count * 99 / 100], moved);
}

const std::map<std::string, std::function<void(long)>> kWorkloads = {
    {"create", Create},
    {"unlink", Unlink},
    {"stat", Stat},
    {"open-read-close", OpenReadClose},
    {"readdir", ReadDirectory},
    {"random-read", [](long count) { Random(count, false); }},
    {"random-write", [](long count) { Random(count, true); }},
    {"sequential-read", [](long count) { Sequential(count, false); }},
    {"sequential-write", [](long count) { Sequential(count, true); }},
    {"fstat", Fstat},
    {"stat-one", StatOne},
    {"open-close", OpenClose},
    {"create-unlink", CreateUnlink},
};

}  // namespace

int main(int argc, char** argv) {
  const auto workload = argc == 4 ? kWorkloads.find(argv[1]) : kWorkloads.end();
  const long count = argc == 4 ? std::atol(argv[3]) : 0;
  if (workload == kWorkloads.end() || count <= 0) {
    std::fprintf(stderr, "usage: client WORKLOAD DIRECTORY COUNT\n");
    return 2;
  }
  directory = argv[2];
  samples.reserve(count);
  workload->second(count);
  Report();
  return 0;
}
