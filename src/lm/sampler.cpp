#include "lm/sampler.h"

#include <fmt/format.h>
#include <llama.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "lm/token_odds.h"

namespace coala {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Higher logits first, then lower tokens: an order without ties.
bool is_ahead(const llama_token_data& a, const llama_token_data& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/// The `keep` most probable tokens, sorted. llama.cpp would copy the whole vocabulary and sort within that.
void collect_top(std::span<const float> logits, std::size_t keep, std::vector<llama_token_data>& to) {
  const std::size_t room = 4 * keep;  // shrinking to `keep` is then rare
  const auto shrink = [&] {
    std::nth_element(to.begin(), to.begin() + static_cast<std::ptrdiff_t>(keep - 1), to.end(), is_ahead);
    to.resize(keep);
  };
  float threshold = -kInfinity;  // tokens at or below it are behind `keep` others
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > threshold) && to.size() >= keep) continue;
    to.push_back({static_cast<Token>(i), logits[i], 0});
    if (to.size() < room) continue;
    shrink();
    threshold = to.back().logit;
  }
  if (to.size() > keep) shrink();
  std::ranges::sort(to, is_ahead);
}

/// Rules out what the grammar does not allow next.
void apply_grammar(llama_sampler* grammar, std::span<float> logits, std::vector<llama_token_data>& scratch) {
  scratch.clear();
  for (std::size_t i = 0; i < logits.size(); ++i) scratch.push_back({static_cast<Token>(i), logits[i], 0});
  llama_token_data_array array{scratch.data(), scratch.size(), /*selected=*/-1, /*sorted=*/false};
  llama_sampler_apply(grammar, &array);
  for (const llama_token_data& candidate : scratch) logits[static_cast<std::size_t>(candidate.id)] = candidate.logit;
}

/// llama.cpp's generator takes 32 bits, and the largest number means a seed from the clock.
std::uint32_t fold(std::uint64_t seed) {
  const auto folded = static_cast<std::uint32_t>(seed ^ (seed >> 32));
  return folded == LLAMA_DEFAULT_SEED ? 0 : folded;
}

}  // namespace

void SamplerOptions::validate() const {
  check_settings(*this);
  for (const auto& [token, bias] : logit_bias) {
    if (!(bias < std::numeric_limits<double>::infinity())) {
      refuse_setting("logit-bias", fmt::format("{}", bias), "a number or -inf");
    }
    if (token < 0) refuse_setting("logit-bias's token", fmt::format("{}", token), "0 or more");
  }
}

/// What comes after top-k, and the tokens that it is applied to.
struct Sampler::Chain {
  llama_sampler* grammar = nullptr;  ///< before top-k
  llama_sampler* filters = nullptr;
  llama_sampler* choice = nullptr;  ///< temperature and draw
  std::vector<llama_token_data> candidates;
  llama_token_data_array array{};  ///< of the candidates that are left

  Chain() : filters(empty_chain()), choice(empty_chain()) {}
  Chain(const Chain& other)
      : grammar(other.grammar == nullptr ? nullptr : llama_sampler_clone(other.grammar)),
        filters(llama_sampler_clone(other.filters)),
        choice(llama_sampler_clone(other.choice)) {}
  ~Chain() {
    if (grammar != nullptr) llama_sampler_free(grammar);
    llama_sampler_free(filters);
    llama_sampler_free(choice);
  }
  Chain& operator=(const Chain&) = delete;

 private:
  static llama_sampler* empty_chain() {
    llama_sampler_chain_params params = llama_sampler_chain_default_params();
    params.no_perf = true;
    return llama_sampler_chain_init(params);
  }
};

Sampler::Sampler(const SamplerOptions& options, std::uint64_t seed, const Grammar* grammar)
    : options_(options), chain_(std::make_unique<Chain>()), behind_(seed) {
  options.validate();
  const bool penalises = options.repeat_penalty != 1 || options.presence_penalty != 0 || options.frequency_penalty != 0;
  memory_tokens_ = penalises ? options.repeat_last_tokens : 0;
  if (grammar != nullptr) chain_->grammar = grammar->copy();
  const auto add_filters = [&](llama_sampler* chain) {
    constexpr std::size_t kAtLeast = 1;
    if (options.top_p < 1) {
      llama_sampler_chain_add(chain, llama_sampler_init_top_p(static_cast<float>(options.top_p), kAtLeast));
    }
    if (options.min_p > 0) {
      llama_sampler_chain_add(chain, llama_sampler_init_min_p(static_cast<float>(options.min_p), kAtLeast));
    }
  };
  if (!options.published_order) add_filters(chain_->filters);
  if (options.temperature == 0) {
    llama_sampler_chain_add(chain_->choice, llama_sampler_init_greedy());
    return;
  }
  llama_sampler_chain_add(chain_->choice, llama_sampler_init_temp(static_cast<float>(options.temperature)));
  if (options.published_order) add_filters(chain_->choice);
  llama_sampler_chain_add(chain_->choice, llama_sampler_init_dist(fold(seed)));
}

Sampler::~Sampler() = default;
Sampler::Sampler(const Sampler& other)
    : options_(other.options_),
      memory_tokens_(other.memory_tokens_),
      recent_(other.recent_),
      chain_(std::make_unique<Chain>(*other.chain_)),
      behind_(other.behind_) {}
Sampler::Sampler(Sampler&&) noexcept = default;
Sampler& Sampler::operator=(Sampler&&) noexcept = default;

void Sampler::reseed(std::uint64_t seed) {
  if (options_.temperature == 0) return;  // there are none
  behind_ = Random(seed);
  const int last = llama_sampler_chain_n(chain_->choice) - 1;
  llama_sampler_free(llama_sampler_chain_remove(chain_->choice, last));
  llama_sampler_chain_add(chain_->choice, llama_sampler_init_dist(fold(seed)));
}

Token Sampler::draw(std::span<const float> logits) {
  // The most probable token is the most probable one of any filter's choice.
  collect(logits, options_.temperature == 0 ? 1 : static_cast<std::size_t>(options_.top_k));
  const Token token = pick_collected();
  take(token);
  return token;
}

std::span<TokenLogit> Sampler::filter(std::span<const float> logits) {
  collect(logits, static_cast<std::size_t>(options_.top_k));
  candidates_.clear();
  for (std::size_t i = 0; i < chain_->array.size; ++i) {
    candidates_.push_back({chain_->array.data[i].id, chain_->array.data[i].logit});
  }
  return candidates_;
}

Token Sampler::draw_from(std::span<const TokenLogit> candidates) {
  const Token token = pick(candidates);
  take(token);
  return token;
}

std::vector<double> Sampler::race(std::span<const TokenLogit> candidates) {
  if (options_.published_order) {
    throw Error(ErrorCode::Internal, "filters that come behind the additions are no part of a race");
  }
  const Token first = pick(candidates);
  const auto winner = std::ranges::find(candidates, first, &TokenLogit::token);
  const double temperature = options_.temperature;
  const auto above_winner = [&](const TokenLogit& candidate) {
    return static_cast<double>(candidate.logit) - static_cast<double>(winner->logit);
  };
  std::vector<double> lags;
  if (temperature == 0) {
    for (const TokenLogit& candidate : candidates) lags.push_back(-above_winner(candidate));
    return lags;
  }
  for (const TokenLogit& candidate : candidates) lags.push_back(std::exp(above_winner(candidate) / temperature));
  const double all = std::accumulate(lags.begin(), lags.end(), 0.0);  // they are rates so far, the winner's is 1
  const double first_arrival = behind_.exponential() / all;
  for (double& lag : lags) {
    const double later = behind_.exponential() / lag;
    lag = temperature * std::log1p(later / first_arrival);
  }
  lags[static_cast<std::size_t>(winner - candidates.begin())] = 0;
  return lags;
}

/// Draws without remembering.
Token Sampler::pick(std::span<const TokenLogit> candidates) {
  chain_->candidates.clear();
  for (const TokenLogit& candidate : candidates) chain_->candidates.push_back({candidate.token, candidate.logit, 0});
  chain_->array = {chain_->candidates.data(), chain_->candidates.size(), /*selected=*/-1, /*sorted=*/false};
  return pick_collected();
}

/// The candidates that the filters leave of the `keep` most probable tokens; 0: of all.
void Sampler::collect(std::span<const float> logits, std::size_t keep) {
  largest_logit(logits);
  const std::span<const float> adjusted = adjust(logits);
  std::vector<llama_token_data>& candidates = chain_->candidates;
  candidates.clear();
  const bool sorted = keep > 0 && keep < logits.size();
  if (sorted) {
    collect_top(adjusted, keep, candidates);
  } else {
    for (std::size_t i = 0; i < logits.size(); ++i) candidates.push_back({static_cast<Token>(i), adjusted[i], 0});
  }
  chain_->array = {candidates.data(), candidates.size(), /*selected=*/-1, sorted};
  llama_sampler_apply(chain_->filters, &chain_->array);
}

Token Sampler::pick_collected() {
  llama_token_data_array& array = chain_->array;
  llama_sampler_apply(chain_->choice, &array);
  if (array.selected < 0 || static_cast<std::size_t>(array.selected) >= array.size) {
    throw Error(ErrorCode::Internal, "the sampler chose no token");
  }
  return array.data[array.selected].id;
}

void Sampler::take(Token token) {
  accept({&token, 1});
  if (chain_->grammar != nullptr) llama_sampler_accept(chain_->grammar, token);
}

/// Logits with biases, penalties and grammar: a copy where any of them has something to change.
std::span<const float> Sampler::adjust(std::span<const float> logits) {
  if (recent_.empty() && options_.logit_bias.empty() && chain_->grammar == nullptr) return logits;
  adjusted_.assign(logits.begin(), logits.end());
  for (const auto& [token, bias] : options_.logit_bias) {
    if (static_cast<std::size_t>(token) >= logits.size()) {
      throw Error(ErrorCode::BadUsage,
                  fmt::format("logit-bias is for token {}; the vocabulary has {}", token, logits.size()));
    }
    adjusted_[static_cast<std::size_t>(token)] += static_cast<float>(bias);
  }
  penalise();
  if (chain_->grammar != nullptr) apply_grammar(chain_->grammar, adjusted_, chain_->candidates);
  const float largest = largest_or_nan(adjusted_);
  if (std::isnan(largest)) {
    throw Error(ErrorCode::BadInput, "the logits are not finite numbers",
                "the model is damaged, or a logit bias is out of range");
  }
  if (std::isinf(largest)) {
    throw Error(ErrorCode::BadInput, "no token is left to draw from",
                chain_->grammar != nullptr ? "the grammar allows none that the vocabulary has"
                                           : "the logit biases rule all of them out");
  }
  return adjusted_;
}

/// Each token that occurred is penalised once for that it did, and by its frequency for how often.
void Sampler::penalise() {
  std::map<Token, int> occurrences;
  for (const Token token : recent_) ++occurrences[token];
  for (const auto& [token, count] : occurrences) {
    const auto i = static_cast<std::size_t>(token);
    if (i >= adjusted_.size()) throw Error(ErrorCode::Internal, fmt::format("token {} has no logit", token));
    float& logit = adjusted_[i];
    const auto penalty = static_cast<float>(options_.repeat_penalty);
    logit = logit <= 0 && !options_.published_order ? logit * penalty : logit / penalty;
    logit -= static_cast<float>(options_.presence_penalty + count * options_.frequency_penalty);
  }
}

void Sampler::accept(std::span<const Token> tokens) {
  if (memory_tokens_ == 0) return;
  recent_.insert(recent_.end(), tokens.begin(), tokens.end());
  const std::size_t surplus = recent_.size() - std::min(recent_.size(), memory_tokens_);
  recent_.erase(recent_.begin(), recent_.begin() + static_cast<std::ptrdiff_t>(surplus));
}

}  // namespace coala
