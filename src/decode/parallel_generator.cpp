#include "decode/parallel_generator.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>

#include "core/interrupt.h"

namespace coala {
namespace {

/// What the workers' caches and output buffers may take together.
constexpr std::size_t kWorkerMemory_bytes = std::size_t{1} << 30;
/// Models below this size get one thread per prompt, even when there are fewer prompts than threads: their decodes take
/// about a millisecond, and llama.cpp's threads wait for each other a hundred times in each. Measured with 7 million
/// parameters and one prompt beside another program: 70 times slower with 2 threads than with 1.
constexpr std::uint64_t kThreadedParameters = 100'000'000;

/// Hands results on in order, whichever thread they come from. After a failure nothing more is handed on.
class OrderedResults {
 public:
  OrderedResults(std::size_t first, std::size_t count, const ParallelGenerator::Consumer& consumer)
      : slots_(count), consumer_(consumer), next_(first) {}

  void put(std::size_t prompt, std::vector<Reply>&& candidates) {
    const std::lock_guard lock(mutex_);
    slots_[prompt].candidates = std::move(candidates);
    hand_on();
  }
  void put_failure(std::size_t prompt, std::exception_ptr failure) {
    failed_ = true;
    const std::lock_guard lock(mutex_);
    slots_[prompt].failure = std::move(failure);
    hand_on();
  }
  /// Whether some prompt failed, so that new ones need not be begun.
  bool failed() const { return failed_; }
  void rethrow_failure() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  struct Slot {
    std::optional<std::vector<Reply>> candidates;
    std::exception_ptr failure;
  };
  void hand_on() {
    while (!failure_ && next_ < slots_.size()) {
      Slot& slot = slots_[next_];
      if (slot.failure) {
        failure_ = slot.failure;
      } else if (slot.candidates) {
        try {
          consumer_(next_, std::move(*slot.candidates));
        } catch (...) {
          failed_ = true;
          failure_ = std::current_exception();
        }
        slot.candidates.reset();
        ++next_;
      } else {
        return;
      }
    }
  }

  std::mutex mutex_;
  std::vector<Slot> slots_;
  const ParallelGenerator::Consumer& consumer_;
  std::size_t next_;
  std::exception_ptr failure_;
  std::atomic<bool> failed_{false};
};

}  // namespace

ParallelGenerator::ParallelGenerator(const Backbone& backbone, const GenerationSettings& settings,
                                     std::span<const EncodedPrompt> prompts, int threads)
    : prompts_(prompts), pool_(threads) {
  std::size_t longest = 1;
  for (const EncodedPrompt& prompt : prompts) longest = std::max(longest, prompt.tokens.size());
  const auto all = static_cast<std::size_t>(pool_.size());
  const std::size_t bytes = std::max<std::size_t>(1, Generator::context_bytes(backbone, settings, longest));
  const std::size_t useful = std::clamp<std::size_t>(prompts.size(), 1, all);
  const std::size_t workers = std::clamp<std::size_t>(kWorkerMemory_bytes / bytes, 1, useful);
  const bool threaded = backbone.identity().active_parameters >= kThreadedParameters;
  const int each = threaded ? static_cast<int>(all / workers) : 1;
  while (generators_.size() < workers) {
    generators_.push_back(std::make_unique<Generator>(backbone, settings, longest, each));
  }
}

void ParallelGenerator::generate(const Consumer& consumer, std::size_t first) {
  OrderedResults results(first, prompts_.size(), consumer);
  std::atomic<std::size_t> next{first};
  // One part per worker, but each takes the next prompt when it is free: replies differ in length.
  pool_.for_parts(generators_.size(), 1, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t w = begin; w < end; ++w) {
      for (std::size_t i = 0; !results.failed() && (i = next.fetch_add(1)) < prompts_.size();) {
        try {
          throw_if_interrupted();
          results.put(i, generators_[w]->generate(prompts_[i]));
        } catch (...) {
          results.put_failure(i, std::current_exception());
        }
      }
    }
  });
  results.rethrow_failure();
}

SessionCounts ParallelGenerator::counts() const {
  SessionCounts sum;
  for (const auto& generator : generators_) sum += generator->counts();
  return sum;
}

}  // namespace coala
