#include "eval/comparison.h"

#include <unordered_map>
#include <vector>

#include "eval/intervals.h"

namespace coala {

PairedComparison compare_paired(std::span<const double> first, std::span<const double> second,
                                std::span<const std::int64_t> prompts, std::uint64_t seed) {
  PairedComparison result;
  std::vector<double> differences(first.size());
  std::unordered_map<std::int64_t, double> balance;
  for (std::size_t i = 0; i < first.size(); ++i) {
    differences[i] = first[i] - second[i];
    result.first_only += differences[i] > 0 ? 1 : 0;
    result.second_only += differences[i] < 0 ? 1 : 0;
    result.difference += differences[i] / static_cast<double>(first.size());
    balance[prompts[i]] += differences[i];
  }
  std::uint64_t first_prompts = 0;
  std::uint64_t second_prompts = 0;
  for (const auto& [prompt, difference] : balance) {
    first_prompts += difference > 0 ? 1 : 0;
    second_prompts += difference < 0 ? 1 : 0;
  }
  result.difference_ci95 = bootstrap_mean(differences, prompts, seed);
  result.p_value = sign_test(first_prompts, second_prompts);
  return result;
}

}  // namespace coala
