#include "data/split.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/hash.h"

namespace coala {
namespace {

std::string key_of(const Prompt& prompt, const std::string& text) {
  if (!prompt.messages.empty() || !prompt.text.empty()) return prompt.key();
  return "text:" + text;  // no key() starts like this: they start with a length
}

}  // namespace

std::string split_key(const Pair& pair) {
  return key_of(pair.prompt, pair.chosen);
}

std::string split_key(const Labelled& labelled) {
  return key_of(labelled.prompt, labelled.response);
}

std::string split_key(const Record& record) {
  return std::visit([](const auto& held) { return split_key(held); }, record);
}

bool in_held_out(std::string_view key, double fraction, std::uint64_t seed) {
  if (!(fraction >= 0 && fraction <= 1)) {
    throw Error(ErrorCode::BadUsage, fmt::format("the held-out fraction is {}; expected 0 to 1", fraction),
                "0.1 holds out a tenth of the prompts");
  }
  const double uniform = static_cast<double>(hash64(key, seed) >> 11) * 0x1p-53;  // in [0, 1)
  return uniform < fraction;
}

bool in_held_out(const Prompt& prompt, double fraction, std::uint64_t seed) {
  return in_held_out(prompt.key(), fraction, seed);
}

int fold_of(std::string_view key, int folds, std::uint64_t seed) {
  if (folds < 1) throw Error(ErrorCode::BadUsage, fmt::format("there cannot be {} folds", folds), "use 2 or more");
  // The remainder hangs on the low bits of the hash, in_held_out() compares the high ones: the two are independent.
  return static_cast<int>(hash64(key, seed) % static_cast<std::uint64_t>(folds));
}

}  // namespace coala
