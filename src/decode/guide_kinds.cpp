#include "decode/guide_kinds.h"

#include <algorithm>
#include <array>
#include <utility>

#include "decode/branch_guide.h"
#include "decode/plain_guide.h"
#include "decode/sentence_guide.h"

namespace coala {
namespace {

using Settings = GenerationSettings;

template <class Kind>
std::unique_ptr<Guide> make(GuideParts parts) {
  return std::make_unique<Kind>(std::move(parts));
}

int branch_candidates(const Backbone& backbone, const Settings& settings) {
  return BranchStep::branches(backbone, *settings.branch);
}

std::size_t looked_ahead(const Backbone& backbone, const Settings& settings, std::size_t) {
  return static_cast<std::size_t>(branch_candidates(backbone, settings) * settings.branch->look_ahead);
}

int continued_branches(const Backbone&, const Settings& settings) {
  return settings.continuations;
}

/// Each continuation may be all that is left of the reply.
std::size_t continued(const Backbone&, const Settings& settings, std::size_t reply_tokens) {
  return static_cast<std::size_t>(settings.continuations) * reply_tokens;
}

// The first that is for the settings; the last is for all.
constexpr std::array kKinds{
    GuideKind{[](const Settings& settings) { return settings.branch.has_value(); }, branch_candidates, looked_ahead,
              make<BranchGuide>},
    GuideKind{[](const Settings& settings) { return settings.continuations > 0; }, continued_branches, continued,
              make<SentenceGuide>},
    GuideKind{[](const Settings&) { return true; }, [](const Backbone&, const Settings&) { return 0; },
              [](const Backbone&, const Settings&, std::size_t) { return std::size_t{0}; }, make<PlainGuide>}};

}  // namespace

const GuideKind& guide_kind(const GenerationSettings& settings) {
  return *std::ranges::find_if(kKinds, [&](const GuideKind& kind) { return kind.is_for(settings); });
}

}  // namespace coala
