#include "ucx/spin.hh"

#include <sched.h>
#include <uv.h>

#include <algorithm>

namespace chfs::ucx {

namespace {

constexpr uint64_t kSpinNanoseconds = 20'000;
constexpr int kCreditMax = 16;
constexpr uint32_t kChancesATry = 32;

/// To be woken and to answer takes less; a core that sleeps deeply takes 75 microseconds.
constexpr uint64_t kLongNanoseconds = 200'000;
/// The other side has one try or more among so many.
constexpr int kLongs = 48;
constexpr uint32_t kChancesALong = 1024;

/// A peer that answers is through sooner. The scheduler gives others some milliseconds at a time.
constexpr uint64_t kHeldUpNanoseconds = 500'000;
/// How long it does without yielding then: longer each time, unless the last time was long ago.
constexpr uint64_t kPauseNanoseconds = 20'000'000;
constexpr uint64_t kPauseNanosecondsMax = 1'280'000'000;
constexpr uint64_t kForgottenNanoseconds = 10'000'000'000;

}  // namespace

bool Spin::Begins() {
  if (credit_ < kCreditNeeded) {
    chances_++;
    if (chances_ % kChancesALong == 0) longs_ = kLongs;
    if (chances_ % kChancesATry != 0 && longs_ == 0) return false;
  }
  now_ = uv_hrtime();
  ends_ = now_ + (longs_ > 0 ? kLongNanoseconds : kSpinNanoseconds);
  return true;
}

bool Spin::GoesOn() {
  now_ = uv_hrtime();
  return now_ < ends_;
}

void Spin::Yield() {
  if (now_ < yields_from_) return;
  ::sched_yield();
  const uint64_t before = now_;
  now_ = uv_hrtime();
  if (now_ - before < kHeldUpNanoseconds) return;
  const bool is_anew = now_ - held_up_at_ > kForgottenNanoseconds;
  pause_ = is_anew ? kPauseNanoseconds : std::min(pause_ * 2, kPauseNanosecondsMax);
  held_up_at_ = now_;
  yields_from_ = now_ + pause_;
}

void Spin::Count(bool is_hit) {
  longs_ = is_hit ? std::max(longs_ - 1, 0) : 0;
  credit_ = is_hit ? std::clamp(credit_ + 1, kCreditNeeded, kCreditMax) : std::max(credit_ - 1, 0);
}

}  // namespace chfs::ucx
