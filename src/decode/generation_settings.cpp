#include "decode/generation_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "core/error.h"
#include "core/hash.h"

namespace coala {

std::uint64_t candidate_seed(std::uint64_t seed, std::span<const Token> prompt, std::size_t candidate) {
  const std::string_view bytes(reinterpret_cast<const char*>(prompt.data()), prompt.size_bytes());
  return hash64(fmt::format("candidate {}", candidate), hash64(bytes, seed));
}

bool GenerationSettings::needs_prompt_states() const {
  if (!reward) return false;
  return reward->features.pooling != Pooling::Last && reward->features.over == PoolOver::All;
}

void GenerationSettings::validate() const {
  sampling.validate();
  if (max_tokens < 1) {
    throw Error(ErrorCode::BadUsage, "replies of 0 tokens are asked for", "use --max-tokens 1 or more");
  }
  if (replies < 1) {
    throw Error(ErrorCode::BadUsage, fmt::format("{} replies to a prompt are asked for", replies), "ask for 1 or more");
  }
  if (branch && !reward) {
    throw Error(ErrorCode::BadUsage, "branch guidance asks a head, and there is none", "name a head file with --head");
  }
  if (branch) check_settings(*branch);
  if (continuations > 0 && !reward) {
    throw Error(ErrorCode::BadUsage, "a head chooses the sentences, and there is none", "name a head file with --head");
  }
  if (std::ranges::find(stops, "") != stops.end()) {
    throw Error(ErrorCode::BadUsage, "a stop string is empty");
  }
  if (reward && reward->features.layers != std::vector<std::size_t>{0}) {
    throw Error(ErrorCode::BadInput,
                fmt::format("the head's features are of layers {}; replies can be scored by the last one only",
                            layers_name(reward->features.layers)),
                "train a head on features without --layers");
  }
}

}  // namespace coala
