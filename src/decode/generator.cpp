#include "decode/generator.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "decode/engine_room.h"

namespace coala {
namespace {

/// The same, of settings that are in range.
const GenerationSettings& checked(const GenerationSettings& settings) {
  settings.validate();
  return settings;
}

}  // namespace

Generator::Generator(const Backbone& backbone, const GenerationSettings& settings, std::size_t longest_prompt_tokens,
                     std::size_t most_prompts, int threads)
    : settings_(checked(settings)),
      engine_(backbone, room_for(backbone, settings_, longest_prompt_tokens, most_prompts, threads)) {}

std::size_t Generator::context_bytes(const Backbone& backbone, const GenerationSettings& settings,
                                     std::size_t longest_prompt_tokens, std::size_t most_prompts) {
  return Engine::context_bytes(backbone, room_for(backbone, checked(settings), longest_prompt_tokens, most_prompts, 1));
}

std::size_t Generator::group_size(const GenerationSettings& settings, std::size_t prompts) {
  // Enough replies to fill the session several times, since a group ends with fewer and fewer; but several groups
  // where there are prompts for them, for as many threads.
  const auto replies = static_cast<std::size_t>(settings.replies);
  const std::size_t fewest = (4 + replies - 1) / replies;
  const std::size_t most = (8 * static_cast<std::size_t>(kMostStreams) + replies - 1) / replies;
  return std::clamp(prompts / 8, fewest, most);
}

void Generator::generate(std::span<const EncodedPrompt> prompts, const Consumer& consumer) {
  engine_.clear();
  std::vector<Engine::Ticket> tickets(prompts.size());
  std::optional<Error> failure;  // of the first prompt that has one
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Request request{prompts[i], settings_, {}, {}};
    request.on_done = [&consumer, i](std::vector<Reply>&& replies) { consumer(i, std::move(replies)); };
    request.on_failure = [&, i](const Error& error) {
      for (std::size_t later = i + 1; later < prompts.size(); ++later) engine_.cancel(tickets[later]);
      failure = error;
    };
    tickets[i] = engine_.submit(std::move(request));
  }
  while (engine_.step()) {
  }
  if (failure) throw Error(*failure);
}

std::vector<Reply> Generator::generate(const EncodedPrompt& prompt) {
  std::vector<Reply> replies;
  generate({&prompt, 1}, [&](std::size_t, std::vector<Reply>&& written) { replies = std::move(written); });
  return replies;
}

}  // namespace coala
