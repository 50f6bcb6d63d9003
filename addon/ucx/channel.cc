#include "ucx/channel.hh"

#include <cstring>

namespace chfs::ucx {

Channel::Channel(uint32_t own_number, const uint8_t* own_secret, uint32_t own_word, Witness& witness,
                 std::vector<Channel*>& attention)
    : number(own_number), word(own_word), witness_(witness), attention_(attention) {
  std::memcpy(secret, own_secret, sizeof secret);
}

void Channel::Fail(int32_t errno_value) {
  if (!IsAlive()) return;
  state = State::kFailed;
  error = errno_value;
  Renounce();
  Call();
}

void Channel::Renounce() { witness_.Clear(word); }

void Channel::Call() {
  if (is_called) return;
  is_called = true;
  attention_.push_back(this);
}

bool Channel::IsSecret(const uint8_t* candidate) const {
  // As long for a near miss as for a far one.
  unsigned difference = 0;
  for (uint32_t i = 0; i < kSecretBytes; i++) difference |= static_cast<unsigned>(secret[i] ^ candidate[i]);
  return difference == 0;
}

}  // namespace chfs::ucx
