#include "cli/seeds_option.h"

namespace coala {

void add_seeds_option(CLI::App& command, int& seeds) {
  command
      .add_option("--seeds", seeds,
                  "train as often, with --seed and the seeds after it, and report mean and standard deviation of the "
                  "accuracies; the head of the first is written. Costs as many times the training")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
}

}  // namespace coala
