#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace coala {

/// How often something took how long.
class Histogram {
 public:
  void add(double seconds);
  /// In Prometheus' text format.
  std::string text(const std::string& name, const std::string& help) const;

 private:
  static constexpr std::array kBounds_s{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                        0.25,  0.5,    1.0,   2.5,  5.0,   10.0, 30.0};
  mutable std::mutex mutex_;
  std::array<std::uint64_t, kBounds_s.size() + 1> counts_ = {};
  double sum_s_ = 0;
};

/// What a server has done since it was started. Safe to use from many threads.
class Metrics {
 public:
  /// @param endpoint  one of the known addresses, or "other"
  void answered(const std::string& endpoint, int status);
  void written(std::uint64_t prompt_tokens, std::uint64_t reply_tokens);
  void scored(std::uint64_t items) { scored_ += items; }
  void scored_tokens(std::uint64_t tokens) { scored_tokens_ += tokens; }
  void dropped() { ++dropped_; }
  void head_replaced() { ++heads_replaced_; }
  void head_refused() { ++heads_refused_; }

  Histogram first_token;  ///< from a request to its first text
  Histogram each_token;   ///< of the tokens after the first, in the mean of a reply

  /// What is going on at the moment.
  struct Now {
    std::uint64_t steps = 0;
    std::size_t waiting = 0, writing = 0, cells = 0, items_waiting = 0;
    double last_step_s = 0;
  };
  /// In Prometheus' text format, version 0.0.4.
  std::string text(const Now& now) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::uint64_t> answered_;
  std::atomic<std::uint64_t> prompt_tokens_{0}, reply_tokens_{0}, scored_{0}, scored_tokens_{0}, dropped_{0};
  std::atomic<std::uint64_t> heads_replaced_{0}, heads_refused_{0};
};

}  // namespace coala
