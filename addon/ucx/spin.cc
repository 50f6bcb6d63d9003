#include "ucx/spin.hh"

#include <sched.h>
#include <uv.h>

#include <algorithm>

namespace chfs::ucx {

namespace {

constexpr uint64_t kSpinNanoseconds = 20'000;
constexpr int kCreditMax = 16;
constexpr uint32_t kChancesATry = 32;

/// To be woken and to answer takes less: a core that sleeps deeply takes 75 microseconds.
constexpr uint64_t kLongNanoseconds = 200'000;
/// So many long spins at first: the other side has a try among them. One in eight of them may be in vain.
constexpr int kLongCredit = 64;
constexpr int kLongMiss = 8;
constexpr uint32_t kChancesALong = 1024;

/// A peer that answers is through sooner. The scheduler gives others some milliseconds at a time.
constexpr uint64_t kHeldUpNanoseconds = 500'000;
constexpr int kLongYields = 2;
/// How long it does without yielding then: longer each time, unless the last time was long ago.
constexpr uint64_t kPauseNanoseconds = 20'000'000;
constexpr uint64_t kPauseNanosecondsMax = 1'280'000'000;
constexpr uint64_t kForgottenNanoseconds = 10'000'000'000;

}  // namespace

bool Spin::Worth::IsGiven() {
  chances_++;
  if (chances_ % kChancesALong == 0) long_credit_ = kLongCredit;
  return IsLong() || credit_ >= kCreditNeeded || chances_ % kChancesATry == 0;
}

void Spin::Worth::Count(bool is_hit) {
  credit_ = is_hit ? std::clamp(credit_ + 1, kCreditNeeded, kCreditMax) : std::max(credit_ - 1, 0);
  if (IsLong()) long_credit_ = is_hit ? std::min(long_credit_ + 1, kLongCredit) : long_credit_ - kLongMiss;
}

void Spin::Found() {
  if (worth_ != nullptr) worth_->Count(true);
  worth_ = nullptr;
}

void Spin::Start(bool awaits_answer) {
  worth_ = awaits_answer ? &answer_ : &anything_;
  if (!worth_->IsGiven()) {
    worth_ = nullptr;
    return;
  }
  now_ = uv_hrtime();
  ends_ = now_ + (worth_->IsLong() && now_ >= yields_from_ ? kLongNanoseconds : kSpinNanoseconds);
}

bool Spin::GoesOn() {
  if (worth_ == nullptr) return false;
  Yield();
  if (now_ < ends_) return true;
  worth_->Count(false);
  worth_ = nullptr;
  return false;
}

void Spin::Yield() {
  now_ = uv_hrtime();
  if (now_ < yields_from_) return;
  const uint64_t before = now_;
  ::sched_yield();
  now_ = uv_hrtime();
  long_yields_ = now_ - before < kHeldUpNanoseconds ? 0 : long_yields_ + 1;
  // A virtual machine may have been held up as a whole, once.
  if (long_yields_ < kLongYields) return;
  const bool is_anew = now_ - held_up_at_ > kForgottenNanoseconds;
  pause_ = is_anew ? kPauseNanoseconds : std::min(pause_ * 2, kPauseNanosecondsMax);
  held_up_at_ = now_;
  yields_from_ = now_ + pause_;
}

}  // namespace chfs::ucx
