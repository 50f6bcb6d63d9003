#include "ucx/channels.hh"

#include <algorithm>
#include <utility>

namespace chfs::ucx {

Channel* Channels::Add(const uint8_t* secret) {
  // Removed ones hold their words as long as they live.
  if (channels_.size() + removed_.size() >= kCountMax || last_number_ == INT32_MAX) return nullptr;
  const uint32_t number = ++last_number_;
  auto channel = std::make_unique<Channel>(number, secret, witness_.Set(), witness_, attention_);
  return (channels_[number] = std::move(channel)).get();
}

Channel* Channels::Find(uint32_t number) const {
  const auto found = channels_.find(number);
  return found == channels_.end() ? nullptr : found->second.get();
}

void Channels::Remove(Channel& channel) {
  const auto found = channels_.find(channel.number);
  removed_.push_back(std::move(found->second));
  channels_.erase(found);
  // For Reap.
  channel.Call();
}

bool Channels::Reap() {
  std::erase_if(removed_, [this](const std::unique_ptr<Channel>& channel) {
    if (channel->operations > 0 || channel->is_called) return false;
    witness_.Free(channel->word);
    return true;
  });
  return !removed_.empty() || std::any_of(channels_.begin(), channels_.end(), [](const auto& entry) {
    return entry.second->state == Channel::State::kFailed && entry.second->operations > 0;
  });
}

std::vector<Channel*> Channels::TakeCalling() {
  std::vector<Channel*> calling = std::exchange(attention_, {});
  for (Channel* channel : calling) channel->is_called = false;
  return calling;
}

std::vector<Channel*> Channels::All() const {
  std::vector<Channel*> all;
  for (const auto& [number, channel] : channels_) all.push_back(channel.get());
  return all;
}

}  // namespace chfs::ucx
