// Lets the loop turn a little longer before it sleeps: an answer is often a few microseconds away, and to be woken
// costs more than that.
#pragma once

#include <cstdint>

namespace chfs::ucx {

/// Whoever else wants the core pays for it. So it stops where it does not pay: a counter rises with each spin in which
/// something came and falls with each other one, and a low one lets only every 32nd chance through. Where both sides
/// sleep, each takes longer to wake up than the other would spin, and neither finds anything: so now and then one spins
/// for longer, and goes on with that while something comes; meanwhile the other side's tries find something, too.
/// An answer that was asked for and anything else are counted by themselves.
/// It yields, so that a peer on the same core gets to answer; where that hands the core to somebody who keeps it, it
/// does without for a while, and is short.
class Spin {
 public:
  /// What was waited for is there.
  void Found();
  /// Something was done, and more may be near: an answer, or anything.
  void Start(bool awaits_answer);
  /// Nothing is left to do: whether the loop is to turn once more before it sleeps.
  bool GoesOn();

 private:
  class Worth {
   public:
    bool IsGiven();
    bool IsLong() const { return long_credit_ > 0; }
    void Count(bool is_hit);

   private:
    static constexpr int kCreditNeeded = 8;
    int credit_ = kCreditNeeded;
    int long_credit_ = 0;
    uint32_t chances_ = 0;
  };

  void Yield();

  Worth answer_;
  Worth anything_;
  /// That of the spin that is under way.
  Worth* worth_ = nullptr;
  /// In nanoseconds of uv_hrtime.
  uint64_t now_ = 0;
  uint64_t ends_ = 0;
  uint64_t yields_from_ = 0;
  uint64_t held_up_at_ = 0;
  uint64_t pause_ = 0;
  /// How many yields before took long, one after the other.
  int long_yields_ = 0;
};

}  // namespace chfs::ucx
