#pragma once

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "coala/generate.h"
#include "decode/generation_settings.h"
#include "decode/guidance.h"
#include "decode/reply.h"
#include "lm/backbone.h"
#include "lm/output_matrix.h"

namespace coala::v1 {

struct RequestSettings;

/// The tilts of token heads at scale 1, each made once: a table for a head costs a product with the output matrix.
class TiltTable {
 public:
  explicit TiltTable(const Backbone& backbone) : backbone_(backbone) {}

  /// @throws Error{BadUsage} for a head without a token head, Error{Mismatch} when it is for other states
  const LogitsProcessor& tilt(const Head& head, Guidance guidance);

 private:
  struct Entry {
    Head head;  ///< which stays, so that its address is its own
    std::unique_ptr<LogitsProcessor> tilt;
  };
  const Backbone& backbone_;
  std::unique_ptr<OutputMatrix> output_;
  std::map<std::pair<const Head::State*, Guidance>, Entry> entries_;
};

/// A request as the layers have it, with all that its settings point to.
struct PreparedRequest {
  std::vector<GuidingHead> heads;
  EncodedPrompt prompt;
  GenerationSettings settings;
  bool chooses_best = false;
  std::unique_ptr<Grammar> grammar;
  std::unique_ptr<LogitsProcessor> tilt;
};

/// @param settings  instead of those of the request
/// @param tilts     outlives what is returned
/// @throws Error as generate(), for all that can be known before anything is evaluated
std::shared_ptr<PreparedRequest> prepare(const Request& request, const RequestSettings& settings,
                                         const Backbone& backbone, TiltTable& tilts);

/// Of the replies that were written those that were asked for.
std::vector<Reply> chosen_replies(const PreparedRequest& request, std::vector<coala::Reply>&& written);

}  // namespace coala::v1
