// How many comparisons does somebody save who is shown the pairs that teach most? A token head is taught pair by pair,
// with pairs that come by chance and with pairs chosen by information_bits() from as many as a request offers, and
// foresees pairs of prompts that were never asked. Prints how many chosen pairs foresee as much as LESSONS by chance.
// Usage: bench_next_lesson [TASTES]                      made-up sums of two replies, with a taste and noise
//        bench_next_lesson FEATURES LABELS ORDERS        real replies: a feature file of labelled responses with token
//                                                        sums, and for each of them 1 or 0 for every rule, one a line

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/random.h"
#include "features/feature_set.h"
#include "head/token_learner.h"

namespace {

using namespace coala;

constexpr std::size_t kLessons = 30;

/// Two replies to a prompt, as a comparison would teach them.
struct Pair {
  std::vector<float> sums;  ///< of the first less those of the second
  bool first = false;       ///< is the better one
  std::string prompt;
};

/// Where pairs come from: those of one round, and those that a head is judged by.
class Source {
 public:
  virtual ~Source() = default;
  virtual std::vector<Pair> offer() = 0;
  virtual std::vector<Pair> unseen() = 0;
};

class MadeUp : public Source {
 public:
  MadeUp(std::size_t width, std::size_t offered, std::uint64_t seed) : random_(seed), offered_(offered) {
    for (std::size_t j = 0; j < width; ++j) taste_.push_back(random_.normal());
  }
  std::vector<Pair> offer() override { return draw(offered_, 3); }
  std::vector<Pair> unseen() override { return draw(200, 0); }

 private:
  std::vector<Pair> draw(std::size_t count, double noise) {
    std::vector<Pair> pairs(count);
    for (Pair& pair : pairs) {
      double score = noise * random_.normal();
      for (const double weight : taste_) {
        pair.sums.push_back(static_cast<float>(3 * random_.normal()));
        score += weight * static_cast<double>(pair.sums.back());
      }
      pair.first = score > 0;
      pair.prompt = std::to_string(drawn_++);
    }
    return pairs;
  }

  Random random_;
  std::size_t offered_;
  std::size_t drawn_ = 0;
  std::vector<double> taste_;
};

/// Pairs of replies of which one follows a rule; half of the prompts are asked about.
class RealReplies : public Source {
 public:
  RealReplies(const FeatureSet& set, const std::vector<bool>& follows, std::size_t prompts, std::uint64_t seed)
      : set_(set), follows_(follows), random_(seed), prompts_(prompts) {
    std::map<std::int64_t, std::vector<std::size_t>> rows;
    for (std::size_t i = 0; i < set.rows(); ++i) rows[set.prompt_id[i]].push_back(i);
    for (auto& [id, members] : rows) replies_.push_back(std::move(members));
    shuffle(replies_);
    asked_ = replies_.size() / 2;
  }
  std::vector<Pair> offer() override {
    std::vector<std::vector<std::size_t>> round(replies_.begin(), replies_.begin() + asked_);
    std::vector<Pair> pairs;
    for (std::size_t tried = 0; pairs.empty() && tried < 1000; ++tried) {
      shuffle(round);
      for (std::size_t p = 0; p < std::min(prompts_, round.size()); ++p) add_pairs(round[p], pairs);
    }
    if (pairs.empty()) throw Error(ErrorCode::BadInput, "no two replies to the same prompt are told apart by the rule");
    return pairs;
  }
  std::vector<Pair> unseen() override {
    std::vector<Pair> pairs;
    for (std::size_t p = asked_; p < replies_.size(); ++p) add_pairs(replies_[p], pairs);
    return pairs;
  }

 private:
  template <class Value>
  void shuffle(std::vector<Value>& values) {
    for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random_.below(i)]);
  }
  /// Somebody passes over what the rule does not tell apart.
  void add_pairs(const std::vector<std::size_t>& replies, std::vector<Pair>& pairs) {
    for (std::size_t a = 1; a < replies.size(); ++a) {
      for (std::size_t b = 0; b < a; ++b) {
        if (follows_[replies[a]] == follows_[replies[b]]) continue;
        Pair pair{set_.token_sums.row(replies[a]), follows_[replies[a]], std::to_string(set_.prompt_id[replies[a]])};
        const std::vector<float> other = set_.token_sums.row(replies[b]);
        for (std::size_t j = 0; j < other.size(); ++j) pair.sums[j] -= other[j];
        pairs.push_back(std::move(pair));
      }
    }
  }

  const FeatureSet& set_;
  const std::vector<bool>& follows_;
  Random random_;
  std::size_t prompts_;
  std::size_t asked_ = 0;
  std::vector<std::vector<std::size_t>> replies_;
};

/// Adds the share of unseen pairs that are foreseen after each lesson.
void teach(Source& source, const TokenBasis& basis, bool choose, std::vector<double>& accuracy) {
  std::vector<std::vector<float>> unseen;
  std::vector<bool> first;
  for (Pair& pair : source.unseen()) {
    unseen.push_back(std::move(pair.sums));
    first.push_back(pair.first);
  }
  TokenLearner learner(basis, nullptr, 0.4);
  learner.learn();
  accuracy.resize(kLessons);
  for (std::size_t n = 0; n < kLessons; ++n) {
    std::vector<Pair> pairs = source.offer();
    std::size_t best = 0;
    if (choose) {
      std::vector<std::vector<float>> offered;
      for (const Pair& pair : pairs) offered.push_back(pair.sums);
      double most = -1;
      const std::vector<Outlook> outlooks = learner.outlook(offered);
      for (std::size_t i = 0; i < pairs.size(); ++i) {
        const double bits = information_bits(outlooks[i]);
        if (bits > most) best = i;
        most = std::max(most, bits);
      }
    }
    Lesson lesson{std::move(pairs[best].sums), 1, std::move(pairs[best].prompt)};
    if (!pairs[best].first) {
      for (float& sum : lesson.sums) sum = -sum;
    }
    learner.add(std::move(lesson));
    learner.learn();
    const std::vector<Outlook> foreseen = learner.outlook(unseen);
    for (std::size_t i = 0; i < unseen.size(); ++i) {
      accuracy[n] += (foreseen[i].mean > 0) == first[i] ? 1.0 / static_cast<double>(unseen.size()) : 0;
    }
  }
}

void print(const std::string& name, const std::vector<double>& accuracy, double runs, double wanted) {
  std::size_t needed = 0;
  while (needed < kLessons && accuracy[needed] / runs < wanted) ++needed;
  const std::string ratio =
      needed < kLessons ? fmt::format("{:.2f}", static_cast<double>(needed + 1) / kLessons) : "more than 1";
  fmt::print("{:24} {:>12}  after 10, 20, 30: {:.3f} {:.3f} {:.3f}\n", name, ratio, accuracy[9] / runs,
             accuracy[19] / runs, accuracy[29] / runs);
}

void made_up(std::uint64_t tastes) {
  constexpr std::size_t kRank = 3;
  Random random(1);
  TokenBasis basis{Matrix<float>(kRank, 5), Matrix<float>(kRank, 5), Matrix<float>(40, kRank),
                   Matrix<float>(40, kRank)};
  for (Matrix<float>* part : {&basis.states, &basis.embeddings, &basis.sample_states, &basis.sample_residuals}) {
    for (float& value : part->values()) value = static_cast<float>(random.normal());
  }
  double wanted = 0;
  for (const std::size_t offered : {1, 8, 64, 448}) {
    std::vector<double> accuracy;
    for (std::uint64_t seed = 0; seed < tastes; ++seed) {
      MadeUp source(basis.width(), offered, 100 + seed);
      teach(source, basis, offered > 1, accuracy);
    }
    if (offered == 1) wanted = accuracy.back() / static_cast<double>(tastes);
    print(offered == 1 ? "by chance" : fmt::format("the best of {}", offered), accuracy, static_cast<double>(tastes),
          wanted);
  }
}

void real_replies(const std::filesystem::path& features, const std::filesystem::path& labels, std::uint64_t orders) {
  const FeatureSet set = load_features(features);
  std::vector<std::vector<bool>> rules;
  std::ifstream file(labels);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::size_t rule = 0;
    for (int follows = 0; words >> follows; ++rule) {
      if (rule == rules.size()) rules.emplace_back();
      rules[rule].push_back(follows != 0);
    }
  }
  if (!set.token_basis || set.kind != FeatureKind::Labelled) {
    throw Error(ErrorCode::BadInput, fmt::format("{} has no token sums of single responses", features.string()));
  }
  std::map<std::string, std::vector<double>> accuracy;
  for (const std::vector<bool>& rule : rules) {
    if (rule.size() != set.rows()) {
      throw Error(ErrorCode::BadInput, fmt::format("{} has {} lines; expected {}, one for each response",
                                                   labels.string(), rule.size(), set.rows()));
    }
    for (std::uint64_t seed = 0; seed < orders; ++seed) {
      for (const auto& [name, prompts, choose] : {std::tuple("by chance", 1, false),
                                                  {"the best of 1 prompt's", 1, true},
                                                  {"the best of 16 prompts'", 16, true}}) {
        RealReplies source(set, rule, static_cast<std::size_t>(prompts), seed);
        teach(source, *set.token_basis, choose, accuracy[name]);
      }
    }
  }
  const auto runs = static_cast<double>(orders * rules.size());
  for (const auto& [name, shares] : accuracy) print(name, shares, runs, accuracy["by chance"].back() / runs);
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t runs = argc == 1 ? 120 : std::strtoull(argv[argc - 1], nullptr, 10);
  if (runs == 0 || argc == 3 || argc > 4) {
    fmt::print(stderr, "usage: bench_next_lesson [TASTES], or bench_next_lesson FEATURES LABELS ORDERS\n");
    return 2;
  }
  try {
    argc == 4 ? real_replies(argv[1], argv[2], runs) : made_up(runs);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
  return 0;
}
