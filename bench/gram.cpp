// Does the cost model choose the faster way of applying F'F? Both ways are timed over a grid of sizes, for as many
// applications as the published program makes and for one tenth and ten times as many; ways alternate within one run,
// and medians are taken. Single thread: more of them speed both up alike.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "core/random.h"
#include "core/resources.h"
#include "solver/gates.h"
#include "solver/gram_cost.h"
#include "solver/normal_operator.h"

namespace {

using namespace coala;

constexpr int kRepetitions = 7;

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

struct Tally {
  int right = 0;
  int all = 0;
  double worst = 1;  ///< time of what was chosen over time of what was faster
};

void measure(std::size_t n, std::size_t d, std::size_t groups, ThreadPool& pool, Tally& tally) {
  Random random(1);
  Matrix<float> drawn(n, d);
  for (float& value : drawn.values()) value = static_cast<float>(random.normal());
  const Matrix<float>& x = drawn;
  Matrix<float> weights(groups, d);
  for (float& value : weights.values()) value = static_cast<float>(random.normal());
  const Matrix<float>& w = weights;
  const Matrix<float> gates = draw_gates(groups, d, 0);
  const Matrix<std::uint8_t> pattern = gate_pattern(x.view(), gates.view(), pool);
  GatedOperator<float> f(DesignRows<float>{{{x.view(), {}}}}, pattern, pool);
  const NormalCost predicted = normal_cost({n, d, groups, 1});

  double start = monotonic_s();
  NormalOperator<float> gram(f, pattern, 1, NormalMethod::Gram);
  const double forming_s = monotonic_s() - start;
  NormalOperator<float> passes(f, pattern, 1, NormalMethod::Passes);
  Matrix<float> out(groups, d);
  std::vector<double> pass_times;
  std::vector<double> gram_times;
  for (int k = 0; k < kRepetitions; ++k) {
    for (NormalOperator<float>* way : {&passes, &gram}) {
      const int calls = 3;
      start = monotonic_s();
      for (int call = 0; call < calls; ++call) way->apply(w.view(), out.view());
      (way == &gram ? gram_times : pass_times).push_back((monotonic_s() - start) / calls);
    }
  }
  const double pass_s = median(pass_times);
  const double gram_s = median(gram_times);
  fmt::print("{:>6} {:>4} {:>3}   {:>7.3f} {:>7.3f}   {:>7.3f} {:>7.3f}   {:>8.1f} {:>8.1f}  ", n, d, groups,
             1e3 * predicted.pass_s, 1e3 * pass_s, 1e3 * predicted.gram_s, 1e3 * gram_s, 1e3 * predicted.forming_s,
             1e3 * forming_s);
  for (const std::size_t applications : {21, 212, 2120}) {
    const double by_gram = forming_s + gram_s * static_cast<double>(applications);
    const double by_passes = pass_s * static_cast<double>(applications);
    const bool chosen = gram_pays({n, d, groups, applications});
    const bool faster = by_gram < by_passes;
    const double loss = (chosen ? by_gram : by_passes) / std::min(by_gram, by_passes);
    // What does not fit is no choice of the model's.
    const char* const verdict = !predicted.fits ? "large" : chosen == faster ? "right" : "wrong";
    fmt::print("  {:>6} {} {:.2f}", chosen ? "gram" : "passes", verdict, by_passes / by_gram);
    if (!predicted.fits) continue;
    ++tally.all;
    tally.right += chosen == faster ? 1 : 0;
    tally.worst = std::max(tally.worst, loss);
  }
  fmt::print("\n");
  std::fflush(stdout);
}

}  // namespace

int main() {
  ThreadPool pool(1);
  Tally tally;
  fmt::print(
      "milliseconds, predicted and measured, of one application by a pass, by the Gram blocks, and of making the\n");
  fmt::print("blocks; then for 21, 212 and 2120 applications: the choice, and time by passes over time by blocks\n");
  for (const std::size_t n : {2000, 10000, 25000, 100000}) {
    for (const std::size_t d : {16, 32, 64, 128, 256}) {
      for (const std::size_t groups : {4, 10, 16, 32}) {
        if (n * d > 8'000'000 || groups * groups * d * d > 20'000'000) continue;
        measure(n, d, groups, pool, tally);
      }
    }
  }
  fmt::print("the faster way chosen in {} of {} cases that fit; the worst choice took {:.2f} times as long\n",
             tally.right, tally.all, tally.worst);
  return 0;
}
