#include "decode/engine_room.h"

#include <algorithm>

#include "decode/guide_kinds.h"

namespace coala {
namespace {

/// What their cache and the buffers of a decode may take; fewer replies are written together where it would be more.
constexpr std::size_t kSessionMemory_bytes = std::size_t{1} << 30;

}  // namespace

EngineOptions room_for(const Backbone& backbone, const GenerationSettings& settings, std::size_t longest_prompt_tokens,
                       std::size_t most_prompts, int threads) {
  const std::size_t context = backbone.identity().context_tokens;
  const std::size_t prompt = std::clamp<std::size_t>(longest_prompt_tokens, 1, context);
  const std::size_t reply = std::min(settings.max_tokens, context - prompt);
  const std::size_t replies = static_cast<std::size_t>(settings.replies) * std::max<std::size_t>(1, most_prompts);
  const GuideKind& kind = guide_kind(settings);
  EngineOptions options;
  options.threads = threads;
  if (const int branches = kind.branches(backbone, settings); branches > 0) {
    options.branches = branches;
    // A shorter prompt leaves room for a longer reply, and its branches.
    const std::size_t shorter = std::clamp<std::size_t>(context - std::min(context, settings.max_tokens), 1, prompt);
    for (const std::size_t tokens : {prompt, shorter}) {
      const std::size_t most = std::min(settings.max_tokens, context - tokens);
      options.cells = std::max(options.cells, tokens + most + kind.branch_tokens(backbone, settings, most));
    }
    return options;
  }
  for (auto streams = std::min<std::size_t>(kMostStreams, replies); streams > 0; --streams) {
    // Replies to one prompt share its cells; late ones may all be to different prompts, and one more is opened.
    const std::size_t prompts = std::min(streams, most_prompts) + (most_prompts > 1 ? 1 : 0);
    options.streams = static_cast<int>(streams);
    options.cells = std::max<std::size_t>(1, prompts) * prompt + streams * reply;
    if (Engine::context_bytes(backbone, options) <= kSessionMemory_bytes) break;
  }
  return options;
}

}  // namespace coala
