#include "lm/sampler.h"

#include <fmt/format.h>
#include <llama.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace coala {
namespace {

void check_range(const char* option, double value, bool good, const char* range) {
  if (good) return;
  throw Error(ErrorCode::BadUsage, fmt::format("{} is {}; it must be {}", option, value, range));
}

// Loops over a vocabulary run for every token drawn. They are written lane by lane, so that the compiler vectorises
// them without permission to reorder sums, and compiled for several instruction sets, of which the loader takes the
// best one. The thread sanitizer cannot start a program with such functions.
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define COALA_WIDEST_LANES __attribute__((target_clones("avx512f", "arch=haswell", "default")))
#else
#define COALA_WIDEST_LANES
#endif
constexpr std::size_t kLanes = 16;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// The largest of n logits, NaN when one is NaN or +infinity.
COALA_WIDEST_LANES float maximum_or_nan(const float* logits, std::size_t n) {
  float largest[kLanes];
  float faults[kLanes] = {};  // 0 times a number is 0, 0 times anything else is NaN
  std::fill_n(largest, kLanes, -kInfinity);
  for (std::size_t begin = 0; begin < n; begin += kLanes) {
    for (std::size_t lane = 0; lane < std::min(kLanes, n - begin); ++lane) {
      const float logit = logits[begin + lane];
      const float number = logit == -kInfinity ? 0.0f : logit;  // that one is allowed
      largest[lane] = logit > largest[lane] ? logit : largest[lane];
      faults[lane] += number * 0.0f;
    }
  }
  float maximum = -kInfinity;
  for (std::size_t lane = 0; lane < kLanes; ++lane) maximum = std::max(maximum, largest[lane]) + faults[lane];
  return maximum;
}

/// The largest logit. @throws Error{BadInput} when there is none, or what cannot be sampled from
float checked_maximum(std::span<const float> logits) {
  const float maximum = maximum_or_nan(logits.data(), logits.size());
  if (!std::isfinite(maximum)) {
    throw Error(ErrorCode::BadInput,
                logits.empty() ? "there are no logits to draw from" : "the model's logits are not finite numbers",
                "the model file is damaged or its weights overflow; try another quantisation of it");
  }
  return maximum;
}

/// e^x for x <= 0 within 3e-7 relative: 2^n times Taylor's polynomial on [-ln 2 / 2, ln 2 / 2], whose remainder there
/// is 1.2e-7. Below -87, where e^x is under 2e-38: about that.
inline float exp_below_zero(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const float bounded = x > -87.0f ? x : -87.0f;
  const float shifted = bounded * 1.44269504f + kRound;
  const float n = shifted - kRound;
  const float f = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts, the first exact times n
  float p = 1.0f / 720;
  p = p * f + 1.0f / 120;
  p = p * f + 1.0f / 24;
  p = p * f + 1.0f / 6;
  p = p * f + 0.5f;
  p = p * f + 1.0f;
  p = p * f + 1.0f;
  const std::uint32_t exponent = std::bit_cast<std::uint32_t>(shifted) << 23;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(p) + exponent);
}

/// sum_i e^(logits_i - maximum): in float over short stretches, in double over these.
COALA_WIDEST_LANES double sum_of_exponentials(const float* logits, std::size_t n, float maximum) {
  constexpr std::size_t kStretch = 16 * kLanes;
  double sum = 0;
  std::size_t begin = 0;
  for (; begin + kStretch <= n; begin += kStretch) {
    float sums[kLanes] = {};
    for (std::size_t i = begin; i < begin + kStretch; i += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += exp_below_zero(logits[i + lane] - maximum);
    }
    for (const float lane : sums) sum += static_cast<double>(lane);
  }
  for (; begin < n; ++begin) sum += static_cast<double>(exp_below_zero(logits[begin] - maximum));
  return sum;
}

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

/// llama.cpp's generator takes 32 bits, and the largest number means a seed from the clock.
std::uint32_t fold(std::uint64_t seed) {
  const auto folded = static_cast<std::uint32_t>(seed ^ (seed >> 32));
  return folded == LLAMA_DEFAULT_SEED ? 0 : folded;
}

}  // namespace

void SamplerOptions::validate() const {
  check_range("temperature", temperature, temperature == 0 || (temperature >= 1e-3 && temperature <= 1e3),
              "0, or 0.001 to 1000");
  check_range("top-p", top_p, top_p > 0 && top_p <= 1, "above 0 and at most 1");
  check_range("top-k", top_k, top_k >= 0, "0 (all tokens) or more");
  check_range("min-p", min_p, min_p >= 0 && min_p <= 1, "0 to 1");
  check_range("repeat-penalty", repeat_penalty, repeat_penalty >= 0.1 && repeat_penalty <= 10, "0.1 to 10");
  check_range("repeat-last", static_cast<double>(repeat_last_tokens), repeat_last_tokens <= 65536, "0 to 65536");
}

/// What comes after top-k, and the tokens that it is applied to.
struct Sampler::Chain {
  llama_sampler* handle;
  std::vector<llama_token_data> candidates;

  Chain() {
    llama_sampler_chain_params params = llama_sampler_chain_default_params();
    params.no_perf = true;
    handle = llama_sampler_chain_init(params);
  }
  ~Chain() { llama_sampler_free(handle); }
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;
  void add(llama_sampler* part) { llama_sampler_chain_add(handle, part); }
};

Sampler::Sampler(const SamplerOptions& options, std::uint64_t seed)
    : repeat_penalty_(static_cast<float>(options.repeat_penalty)),
      repeat_last_tokens_(options.repeat_penalty == 1 ? 0 : options.repeat_last_tokens),
      keep_(options.temperature == 0 ? 1 : static_cast<std::size_t>(std::max(0, options.top_k))),
      chain_(std::make_unique<Chain>()) {
  options.validate();
  if (options.temperature == 0) {
    chain_->add(llama_sampler_init_greedy());
    return;
  }
  constexpr std::size_t kAtLeast = 1;
  if (options.top_p < 1) chain_->add(llama_sampler_init_top_p(static_cast<float>(options.top_p), kAtLeast));
  if (options.min_p > 0) chain_->add(llama_sampler_init_min_p(static_cast<float>(options.min_p), kAtLeast));
  chain_->add(llama_sampler_init_temp(static_cast<float>(options.temperature)));
  chain_->add(llama_sampler_init_dist(fold(seed)));
}

Sampler::~Sampler() = default;
Sampler::Sampler(Sampler&&) noexcept = default;
Sampler& Sampler::operator=(Sampler&&) noexcept = default;

Token Sampler::draw(std::span<const float> logits) {
  checked_maximum(logits);
  const std::span<const float> penalised = penalise(logits);
  std::vector<llama_token_data>& candidates = chain_->candidates;
  candidates.clear();
  const bool sorted = keep_ > 0 && keep_ < logits.size();
  if (sorted) {
    collect_top(penalised, keep_, candidates);
  } else {
    for (std::size_t i = 0; i < logits.size(); ++i) candidates.push_back({static_cast<Token>(i), penalised[i], 0});
  }
  llama_token_data_array array{candidates.data(), candidates.size(), /*selected=*/-1, sorted};
  llama_sampler_apply(chain_->handle, &array);
  if (array.selected < 0 || static_cast<std::size_t>(array.selected) >= array.size) {
    throw Error(ErrorCode::Internal, "the sampler chose no token");
  }
  const Token token = array.data[array.selected].id;
  accept({&token, 1});
  return token;
}

std::span<const float> Sampler::penalise(std::span<const float> logits) {
  if (recent_.empty()) return logits;
  penalised_.assign(logits.begin(), logits.end());
  for (const Token token : recent_) {
    const auto i = static_cast<std::size_t>(token);
    if (i >= logits.size()) throw Error(ErrorCode::Internal, fmt::format("token {} has no logit", token));
    // From the original, so that a token which occurred twice is penalised once.
    penalised_[i] = logits[i] <= 0 ? logits[i] * repeat_penalty_ : logits[i] / repeat_penalty_;
  }
  return penalised_;
}

void Sampler::accept(std::span<const Token> tokens) {
  if (repeat_last_tokens_ == 0) return;
  recent_.insert(recent_.end(), tokens.begin(), tokens.end());
  const std::size_t surplus = recent_.size() - std::min(recent_.size(), repeat_last_tokens_);
  recent_.erase(recent_.begin(), recent_.begin() + static_cast<std::ptrdiff_t>(surplus));
}

double log_probability(std::span<const float> logits, Token token) {
  if (token < 0 || static_cast<std::size_t>(token) >= logits.size()) {
    throw Error(ErrorCode::Internal, fmt::format("token {} is not in a vocabulary of {}", token, logits.size()));
  }
  const float largest = checked_maximum(logits);
  return static_cast<double>(logits[static_cast<std::size_t>(token)]) - static_cast<double>(largest) -
         std::log(sum_of_exponentials(logits.data(), logits.size(), largest));
}

}  // namespace coala
