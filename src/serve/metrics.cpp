#include "serve/metrics.h"

#include <fmt/format.h>

#include <algorithm>

namespace coala {
namespace {

template <class Number>
std::string metric(const char* name, const char* type, const char* help, Number value) {
  return fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n{0} {3}\n", name, help, type, value);
}

}  // namespace

void Histogram::add(double seconds) {
  const auto bucket = std::ranges::lower_bound(kBounds_s, seconds) - kBounds_s.begin();
  const std::lock_guard lock(mutex_);
  ++counts_[static_cast<std::size_t>(bucket)];
  sum_s_ += seconds;
}

std::string Histogram::text(const std::string& name, const std::string& help) const {
  const std::lock_guard lock(mutex_);
  std::string text = fmt::format("# HELP {0} {1}\n# TYPE {0} histogram\n", name, help);
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < kBounds_s.size(); ++i) {
    all += counts_[i];
    text += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, kBounds_s[i], all);
  }
  all += counts_.back();
  return text + fmt::format("{0}_bucket{{le=\"+Inf\"}} {1}\n{0}_sum {2}\n{0}_count {1}\n", name, all, sum_s_);
}

void Metrics::answered(const std::string& endpoint, int status) {
  const std::lock_guard lock(mutex_);
  ++answered_[{endpoint, status}];
}

void Metrics::written(std::uint64_t prompt_tokens, std::uint64_t reply_tokens) {
  prompt_tokens_ += prompt_tokens;
  reply_tokens_ += reply_tokens;
}

std::string Metrics::text(const Now& now) const {
  std::string text = "# HELP coala_requests_total Requests that were answered.\n# TYPE coala_requests_total counter\n";
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, count] : answered_) {
      text += fmt::format("coala_requests_total{{endpoint=\"{}\",status=\"{}\"}} {}\n", key.first, key.second, count);
    }
  }
  text += metric("coala_dropped_total", "counter", "Requests whose client left.", dropped_.load());
  text +=
      metric("coala_prompt_tokens_total", "counter", "Tokens of prompts that were replied to.", prompt_tokens_.load());
  text += metric("coala_reply_tokens_total", "counter", "Tokens of replies.", reply_tokens_.load());
  text += metric("coala_scored_items_total", "counter", "Texts that were scored.", scored_.load());
  text += metric("coala_scored_tokens_total", "counter", "Their tokens, prompts included.", scored_tokens_.load());
  text += metric("coala_heads_replaced_total", "counter", "Heads whose file was read again and taken.",
                 heads_replaced_.load());
  text += metric("coala_heads_refused_total", "counter", "Heads whose file was read again and refused.",
                 heads_refused_.load());
  text += metric("coala_steps_total", "counter", "Steps of the engine.", now.steps);
  text += metric("coala_requests_waiting", "gauge", "Requests whose prompts are not begun.", now.waiting);
  text += metric("coala_replies_writing", "gauge", "Replies that are being written.", now.writing);
  text += metric("coala_cells_held", "gauge", "Tokens of the cache that requests hold.", now.cells);
  text += metric("coala_items_waiting", "gauge", "Texts that wait to be scored.", now.items_waiting);
  text += metric("coala_last_step_seconds", "gauge", "Age of the last step; 0 when there is nothing to do.",
                 now.last_step_s);
  text += first_token.text("coala_first_token_seconds", "From a request to the first text of its reply.");
  text += each_token.text("coala_token_seconds", "Time of a token after the first, in the mean of a reply.");
  return text;
}

}  // namespace coala
