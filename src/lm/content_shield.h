#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "lm/text_matcher.h"
#include "lm/text_part.h"

namespace coala {

/// Keeps control tokens that somebody wrote into a content from becoming tokens, whatever a template does with the
/// content. The Jinja engine knows which text is the user's, but forgets it in some filters (tojson, split). So before
/// rendering every such text gives way to one private-use character (U+F0000 and on), and comes back behind it, marked
/// as the user's. For one conversation.
class ContentShield {
 public:
  /// @param control_texts  what is covered, and how it is found; both must outlive the object
  ContentShield(std::span<const std::string> control_texts, const TextMatcher& matcher);

  /// @throws Error{BadInput} when there are more different texts to replace than characters for them
  std::string cover(const std::string& content);
  /// The rendered parts with the texts back in place.
  std::vector<TextPart> uncover(std::vector<TextPart> parts) const;

 private:
  const std::string& stand_in(std::string_view text);

  std::span<const std::string> control_texts_;
  const TextMatcher& matcher_;
  std::vector<std::string> covered_;  ///< by number of the character
  std::map<std::string, std::string, std::less<>> stand_ins_;
};

}  // namespace coala
