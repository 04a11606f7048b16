#include "decode/prefix_cache.h"

#include <algorithm>
#include <tuple>

namespace coala {

PrefixCache::PrefixCache(Session& session, int first, int count) : session_(session) {
  for (int i = 0; i < count; ++i) slots_.push_back({.sequence = first + i});
}

void PrefixCache::clear() {
  for (Slot& slot : slots_) slot = {.sequence = slot.sequence};
}

void PrefixCache::forget(Slot& slot) {
  session_.drop(slot.sequence);
  slot = {.sequence = slot.sequence};
}

/// How many of a prompt's first tokens a slot can give.
std::size_t PrefixCache::common(const Slot& slot, std::span<const Token> prompt) const {
  if (prompt.empty()) return 0;
  const auto end = std::mismatch(slot.text.begin(), slot.text.end(), prompt.begin(), prompt.end() - 1).first;
  const auto tokens = static_cast<std::size_t>(end - slot.text.begin());
  // Nothing can be taken from a recurrent state.
  return tokens == slot.text.size() || session_.can_truncate() ? tokens : 0;
}

std::size_t PrefixCache::idle_tokens() const {
  std::size_t tokens = 0;
  for (const Slot& slot : slots_) tokens += slot.user == 0 ? slot.text.size() : 0;
  return tokens;
}

PrefixCache::Slot* PrefixCache::oldest_idle(const Slot* other_than) {
  Slot* oldest = nullptr;
  for (Slot& slot : slots_) {
    if (slot.user != 0 || slot.text.empty() || &slot == other_than) continue;
    if (oldest == nullptr || slot.opened < oldest->opened) oldest = &slot;
  }
  return oldest;
}

void PrefixCache::shrink(std::size_t tokens) {
  while (idle_tokens() > tokens) forget(*oldest_idle(nullptr));
}

PrefixCache::Place PrefixCache::open(std::uint64_t user, std::span<const Token> prompt, bool shares,
                                     std::size_t spare) {
  Slot* source = nullptr;
  std::size_t known = 0;
  for (Slot& slot : slots_) {
    const std::size_t tokens = shares ? common(slot, prompt) : 0;
    if (tokens <= known) continue;
    source = &slot;
    known = tokens;
  }
  // What the prompt has in common with its source is in the same cells.
  while (idle_tokens() > spare + known) {
    Slot* const oldest = oldest_idle(source);
    if (oldest == nullptr) break;
    forget(*oldest);
  }
  // A text that the prompt goes on from gives way to it; another source stays, where there is room.
  const bool is_idle = source != nullptr && source->user == 0;
  const bool source_stays = !is_idle || (known < source->text.size() && idle_tokens() <= spare + known);
  if (source != nullptr) source->opened = ++opened_;
  // Else an empty slot, or one that nobody uses, or the one that was of use the longest ago.
  const auto order = [&](const Slot& slot) {
    return std::make_tuple(&slot == source, slot.user != 0, !slot.text.empty(), slot.opened);
  };
  Slot* target = &*std::ranges::min_element(slots_, {}, order);
  if (!source_stays) target = source;
  if (target == source) {
    session_.truncate(target->sequence, known);
  } else {
    forget(*target);
    if (source != nullptr) {
      session_.fork(source->sequence, target->sequence);
      session_.truncate(target->sequence, known);
    }
  }
  *target = {.sequence = target->sequence, .user = user, .opened = ++opened_};
  return {target->sequence, known};
}

void PrefixCache::set_text(int sequence, std::uint64_t user, std::span<const Token> text) {
  for (Slot& slot : slots_) {
    if (slot.sequence == sequence && slot.user == user) slot.text.assign(text.begin(), text.end());
  }
}

void PrefixCache::extend(int sequence, std::uint64_t user, int reply, std::span<const Token> text) {
  for (Slot& slot : slots_) {
    if (slot.sequence != sequence || slot.user != user) continue;
    session_.fork(reply, sequence);
    if (session_.can_truncate()) session_.truncate(sequence, text.size());
    slot.text.assign(text.begin(), text.end());
  }
}

void PrefixCache::release(std::uint64_t user) {
  for (Slot& slot : slots_) {
    if (slot.user == user) slot.user = 0;
  }
}

void PrefixCache::drop(std::uint64_t user) {
  for (Slot& slot : slots_) {
    if (slot.user == user) forget(slot);
  }
}

}  // namespace coala
