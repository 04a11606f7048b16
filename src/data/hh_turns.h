#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/record.h"

namespace coala {

/// Whether a text is a dialogue as HH-RLHF writes them: it starts with a "Human:" or "Assistant:" turn.
bool looks_like_hh(std::string_view text) noexcept;

/// The same for a prompt: a text that merely begins with "Human:" is none.
bool is_hh_dialogue(std::string_view text) noexcept;

/// The turns of "\n\nHuman: ...\n\nAssistant: ...". One space after a marker belongs to the marker, everything else is
/// kept word for word. Empty when the text does not start with a marker.
std::vector<Message> parse_hh_turns(std::string_view text);

/// Turns written back as HH-RLHF has them, without a marker in front of the first.
std::string join_hh_turns(const std::vector<Message>& turns, std::size_t first);

}  // namespace coala
