#include "extract/token_sample.h"

#include <algorithm>
#include <type_traits>

#include "core/progress.h"
#include "extract/token_sums.h"

namespace coala {
namespace {

/// Tokens that are enough for the directions of any rank in use, and the most that may be kept.
constexpr std::size_t kEnoughTokens = 16384;
constexpr std::size_t kMostTokens = 4 * kEnoughTokens;

/// Of the evaluation, what a sample may cost whose states cannot be kept.
constexpr std::uint64_t kLostShare = 20;

// Of the extraction's operations, what may go into probabilities of the whole vocabulary, and into expectations over
// the support; and the bounds between which that decides. From the upper ones on a basis gains nothing.
constexpr double kWholeShare = 0.01;
constexpr std::size_t kFewestWhole = 64;
constexpr std::size_t kMostWhole = 512;
constexpr double kSupportShare = 0.02;
constexpr std::size_t kSmallestSupport = 1024;
constexpr std::size_t kLargestSupport = 4096;
constexpr std::size_t kFewestTokens = 2048;

/// Positions whose states come before a token of the response, the one that ends it excepted.
bool is_fitted(const EncodedResponse& response, std::size_t position) {
  const std::size_t next = position + 1;
  return next >= response.prompt_tokens && next < response.tokens.size() - response.closing_tokens;
}

std::size_t fitted_tokens(const EncodedResponse& response) {
  const std::size_t first = std::max<std::size_t>(1, response.prompt_tokens);
  const std::size_t end = response.tokens.size() - response.closing_tokens;
  return end > first ? end - first : 0;
}

template <class Item>
Window first_window(const RecordStore& data, ParallelExtractor& extractor, bool skip_bad) {
  RecordCursor records(data);
  WindowReader<Item> reader([&records](Item& item) { return records.next(item); }, extractor.extractor(),
                            extractor.pool(), 0, skip_bad);
  Window window;
  reader.next(window);
  return window;
}

/// Blocks evenly over the window that hold enough tokens; none when they would be too many.
std::vector<std::uint32_t> choose_blocks(const Window& window, PoolOver over) {
  const std::size_t blocks = window.plan.blocks.size();
  std::vector<std::size_t> rows;
  std::size_t all = 0;
  for (std::uint32_t b = 0; b < blocks; ++b) {
    rows.push_back(kept_rows(window.responses_of(b), over));
    all += rows.back();
  }
  const std::size_t wanted =
      all <= kEnoughTokens ? blocks : std::max<std::size_t>(1, (blocks * kEnoughTokens + all - 1) / all);
  std::vector<std::uint32_t> chosen;
  std::size_t kept = 0;
  for (std::size_t k = 0; k < wanted; ++k) {
    chosen.push_back(static_cast<std::uint32_t>(k * blocks / wanted));
    kept += rows[chosen.back()];
  }
  if (kept > kMostTokens) chosen.clear();
  return chosen;
}

/// Responses evenly over the window, in the order of its plan, that have a share of its tokens.
std::vector<std::uint32_t> choose_responses(const Window& window) {
  std::vector<std::uint32_t> order;
  for (const PlannedBlock& block : window.plan.blocks) {
    order.insert(order.end(), block.responses.begin(), block.responses.end());
  }
  const std::size_t wanted = std::min(order.size(), std::max<std::size_t>(2, order.size() / kLostShare));
  std::vector<std::uint32_t> chosen;
  std::size_t tokens = 0;
  for (std::size_t k = 0; k < wanted && tokens < kEnoughTokens; ++k) {
    chosen.push_back(order[k * order.size() / wanted]);
    tokens += fitted_tokens(window.responses[chosen.back()]);
  }
  return chosen;
}

/// Hands the states that a basis is fitted to on, with the tokens after them.
class FollowedStates : public TokenConsumer {
 public:
  FollowedStates(std::span<const EncodedResponse* const> responses, const FollowedState& take)
      : responses_(responses), take_(take) {}
  void take(const EvaluatedToken& token) override {
    const EncodedResponse& response = *responses_[token.response];
    if (is_fitted(response, token.position)) take_(token.state, response.tokens[token.position + 1]);
  }

 private:
  std::span<const EncodedResponse* const> responses_;
  const FollowedState& take_;
};

}  // namespace

TokenSample choose_token_sample(const Backbone& backbone, const RecordStore& data, ParallelExtractor& extractor,
                                std::size_t rank, double share, bool skip_bad) {
  TokenSample sample;
  sample.window = data.kind() == RecordKind::Pair ? first_window<Pair>(data, extractor, skip_bad)
                                                  : first_window<Labelled>(data, extractor, skip_bad);
  const Window& window = sample.window;
  sample.blocks = choose_blocks(window, extractor.extractor().settings().over);
  if (sample.blocks.empty()) {
    sample.responses = choose_responses(window);
  } else {
    for (const std::uint32_t b : sample.blocks) {
      const std::vector<std::uint32_t>& of_block = window.plan.blocks[b].responses;
      sample.responses.insert(sample.responses.end(), of_block.begin(), of_block.end());
    }
  }
  for (const std::uint32_t r : sample.responses) sample.tokens += fitted_tokens(window.responses[r]);
  const BackboneIdentity& model = backbone.identity();
  sample.extraction_flops = evaluation_flops(model, window.counts) +
                            share * static_cast<double>(window.counts.response_tokens) * 2 *
                                static_cast<double>(model.vocabulary) * static_cast<double>(model.dimension + rank);
  return sample;
}

ExpectationEffort effort_for(const TokenSample& sample, const OutputMatrix& output) {
  const auto d = static_cast<double>(output.dimension());
  const double whole = kWholeShare * sample.extraction_flops / (2 * static_cast<double>(output.vocabulary()) * d);
  const double products = kSupportShare * sample.extraction_flops / (4 * d);  // of tokens and support
  ExpectationEffort effort;
  effort.whole = std::clamp(static_cast<std::size_t>(whole), kFewestWhole, kMostWhole);
  effort.support = std::clamp(static_cast<std::size_t>(products / static_cast<double>(sample.tokens)), kSmallestSupport,
                              kLargestSupport);
  const double tokens = products / static_cast<double>(std::min(effort.support, output.vocabulary()));
  effort.tokens = std::min(sample.tokens, std::max(static_cast<std::size_t>(tokens), kFewestTokens));
  return effort;
}

TokenBasis fit_to_kept(const TokenSample& sample, const KeptStates& kept, PoolOver over, const OutputMatrix& output,
                       std::size_t rank, int threads) {
  const auto visit = [&](const FollowedState& take) {
    for (const std::uint32_t b : sample.blocks) {
      const std::vector<const EncodedResponse*> responses = sample.window.responses_of(b);
      FollowedStates consumer(responses, take);
      TokenConsumer* const only = &consumer;
      replay(responses, kept.rows({sample.window.index, b}, kept_rows(responses, over)), {&only, 1});
    }
  };
  return fit_token_basis(output, {sample.tokens, visit}, effort_for(sample, output), rank, threads);
}

TokenBasis fit_to_responses(const TokenSample& sample, FeatureExtractor& extractor, const OutputMatrix& output,
                            std::size_t rank, int threads) {
  std::vector<const EncodedResponse*> responses;
  std::uint64_t tokens = 0;
  for (const std::uint32_t r : sample.responses) {
    responses.push_back(&sample.window.responses[r]);
    tokens += responses.back()->tokens.size();
  }
  StateKeeper keeper(responses, PoolOver::Response, output.dimension());
  TokenConsumer* const only = &keeper;
  {
    Progress progress("evaluating a sample for the token head", tokens, "tokens");
    progress.may_end_early();  // what responses share is evaluated once
    extractor.stream(responses, {&only, 1}, [&progress](std::uint64_t evaluated) { progress.advance(evaluated); });
  }
  const auto visit = [&](const FollowedState& take) {
    FollowedStates consumer(responses, take);
    TokenConsumer* const taker = &consumer;
    replay(responses, keeper.rows(), {&taker, 1});
  };
  return fit_token_basis(output, {sample.tokens, visit}, effort_for(sample, output), rank, threads);
}

}  // namespace coala
