// Looks for messages a little longer before the loop sleeps: an answer is often a few microseconds away, and to be
// woken costs more than that.
#pragma once

#include <cstdint>

namespace chfs::ucx {

/// Whoever else wants the core pays for it. So it stops where it does not pay: a counter rises with each spin that
/// found something and falls with each that did not, and a low one lets only every 32nd chance through. Where both sides
/// sleep, each takes longer to wake up than the other would spin, and neither finds anything: so now and then one spins
/// for long, a number of times, while that finds something; meanwhile the other side's short tries find something, too.
/// And it yields, so that a peer on the same core gets to answer; where that hands the core to somebody who keeps it, it
/// does without for a while.
class Spin {
 public:
  /// Whether it may be tried now; then Finds follows.
  bool Begins();
  /// Calls `progress` for some microseconds until it returns true; whether it did.
  template <class Progress>
  bool Finds(Progress progress) {
    bool is_hit = false;
    do {
      Yield();
      is_hit = progress();
    } while (!is_hit && GoesOn());
    Count(is_hit);
    return is_hit;
  }

 private:
  bool GoesOn();
  void Yield();
  void Count(bool is_hit);

  static constexpr int kCreditNeeded = 8;

  int credit_ = kCreditNeeded;
  uint32_t chances_ = 0;
  /// How many spins may still be long.
  int longs_ = 0;
  /// In nanoseconds of uv_hrtime.
  uint64_t now_ = 0;
  uint64_t ends_ = 0;
  uint64_t yields_from_ = 0;
  uint64_t held_up_at_ = 0;
  uint64_t pause_ = 0;
};

}  // namespace chfs::ucx
