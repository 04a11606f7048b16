// A reward head from arrays: the component `solver` alone, no language model. Rows are drawn such that a two-layer
// network tells them apart and a linear model does not. Usage: fit HEAD_FILE [SEED]

#include <coala/solver.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <random>
#include <vector>

namespace {

constexpr std::size_t kDimension = 8;

/// Pairs whose chosen row has more of |x0| + |x1|.
struct Drawn {
  std::vector<float> chosen;
  std::vector<float> rejected;

  Drawn(std::size_t rows, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < rows; ++i) {
      std::vector<float> a(kDimension);
      std::vector<float> b(kDimension);
      for (float& x : a) x = normal(random);
      for (float& x : b) x = normal(random);
      const auto quality = [](const std::vector<float>& x) { return std::abs(x[0]) + std::abs(x[1]); };
      if (quality(a) < quality(b)) a.swap(b);
      chosen.insert(chosen.end(), a.begin(), a.end());
      rejected.insert(rejected.end(), b.begin(), b.end());
    }
  }

  coala::Features features() const {
    return coala::Features::of_pairs(
        {.rows = chosen.size() / kDimension, .dimension = kDimension, .chosen = chosen, .rejected = rejected});
  }
};

int run(const char* file, unsigned seed) {
  const coala::Features train = Drawn(2000, seed).features();
  const coala::Features held_out = Drawn(1000, seed + 1).features();

  coala::FitSettings settings;
  settings.seed = seed;
  settings.time_limit_s = 60;
  const coala::Fit fit = coala::fit(train, settings);
  std::printf("fit: %s", std::string(coala::status_name(fit.status)).c_str());
  if (fit.certificate) std::printf(", relative gap %.1e", fit.certificate->relative_gap);
  std::printf(", %s\n", fit.linear ? "a linear model" : "a network");
  fit.head.save(file);

  const coala::Head head = coala::Head::load(file);
  const coala::Evaluation evaluation = coala::evaluate(head, held_out);
  std::printf("held out: %.3f [%.3f, %.3f] of %zu rows right\n", evaluation.accuracy.value, evaluation.accuracy.low,
              evaluation.accuracy.high, evaluation.rows);
  const std::vector<float> row(kDimension, 1.0F);
  std::printf("score of a row of ones: %.4f\n", head.score(row));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: fit HEAD_FILE [SEED]\n");
    return 2;
  }
  try {
    return run(argv[1], argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 1);
  } catch (const coala::Error& error) {
    std::fprintf(stderr, "%s: %s\n%s\n", coala::error_name(error.code()), error.what(), error.hint().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  return 2;
}
