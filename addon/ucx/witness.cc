#include "ucx/witness.hh"

#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>

#include "base/assert.hh"

namespace chfs::ucx {

namespace {

uint64_t RandomValue() {
  uint64_t value = 0;
  while (value == 0) Assert(::getrandom(&value, sizeof value, 0) == sizeof value, "there is chance");
  return value;
}

// Tells this process from any other; it is never freed, since a peer may look for as long as the process lives.
const uint64_t* Identity() {
  static const auto* identity = new uint64_t(RandomValue());
  return identity;
}

bool Holds(int32_t process, uint64_t address, uint64_t expected) {
  uint64_t value = 0;
  const iovec local = {&value, sizeof value};
  const iovec remote = {reinterpret_cast<void*>(address), sizeof value};
  return ::process_vm_readv(process, &local, 1, &remote, 1, 0) == sizeof value && value == expected;
}

}  // namespace

Witness::Witness(uint32_t channels_max) : words_(new uint64_t[channels_max]()) {
  for (uint32_t word = channels_max; word > 0; word--) free_.push_back(word - 1);
}

uint32_t Witness::Set() {
  const uint32_t word = free_.back();
  free_.pop_back();
  std::atomic_ref(words_[word]).store(RandomValue(), std::memory_order_release);
  return word;
}

void Witness::Clear(uint32_t word) { std::atomic_ref(words_[word]).store(0, std::memory_order_seq_cst); }

void Witness::Free(uint32_t word) { free_.push_back(word); }

Sign Witness::SignOf(uint32_t word) const {
  Sign sign{};
  sign.identity_address = reinterpret_cast<uintptr_t>(Identity());
  sign.identity = *Identity();
  sign.word_address = reinterpret_cast<uintptr_t>(&words_[word]);
  sign.word = words_[word];
  sign.process = ::getpid();
  return sign;
}

PeerWitness::PeerWitness(const Sign& sign)
    : sign_(sign), is_near_(sign.process > 0 && Holds(sign.process, sign.identity_address, sign.identity)) {}

bool PeerWitness::Vouches() const {
  if (!is_near_) return true;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return sign_.word != 0 && Holds(sign_.process, sign_.word_address, sign_.word);
}

}  // namespace chfs::ucx
