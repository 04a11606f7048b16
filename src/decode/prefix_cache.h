#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lm/session.h"

namespace coala {

/// Sequences of a session that hold texts which were evaluated: prompts, and some with a reply. What a new prompt has
/// in common with one of them is not evaluated again.
class PrefixCache {
 public:
  /// Where a prompt is, and how many of its first tokens are there already.
  struct Place {
    int sequence = 0;
    std::size_t known_tokens = 0;
  };

  /// @param first, count  the session's sequences that are this cache's; at least one
  PrefixCache(Session& session, int first, int count);

  /// Forgets all, after the session has.
  void clear();

  /// A sequence for a prompt, with as much of it as is known, at most all but its last token. Another text gives way
  /// for it: the one that it goes on from, or else one that nobody uses, of these the one that was of use longest ago.
  /// @param user    who uses the sequence until release(); not 0
  /// @param shares  whether what is known is of use
  /// @param spare   cells that texts which nobody uses may go on to take
  Place open(std::uint64_t user, std::span<const Token> prompt, bool shares, std::size_t spare);
  /// The sequence holds this text now, if it is still the user's.
  void set_text(int sequence, std::uint64_t user, std::span<const Token> text);
  /// Makes it the text of a reply's sequence, if it is still the user's.
  void extend(int sequence, std::uint64_t user, int reply, std::span<const Token> text);
  /// The user is done; the texts stay for as long as there is room.
  void release(std::uint64_t user);
  /// Forgets what the user's sequences hold.
  void drop(std::uint64_t user);
  /// Forgets texts that nobody uses, the oldest first, until they have at most this many tokens.
  void shrink(std::size_t tokens);

 private:
  struct Slot {
    int sequence = 0;
    std::vector<Token> text = {};  ///< that is known to be there
    std::uint64_t user = 0;        ///< 0: none
    std::uint64_t opened = 0;      ///< when it was of use last, counted in calls of open()
  };
  std::size_t common(const Slot& slot, std::span<const Token> prompt) const;
  std::size_t idle_tokens() const;
  Slot* oldest_idle(const Slot* other_than);
  void forget(Slot& slot);

  Session& session_;
  std::vector<Slot> slots_;
  std::uint64_t opened_ = 0;
};

}  // namespace coala
