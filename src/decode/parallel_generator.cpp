#include "decode/parallel_generator.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>
#include <optional>

#include "core/error.h"

namespace coala {
namespace {

/// What the workers' caches and output buffers may take together.
constexpr std::size_t kWorkerMemory_bytes = std::size_t{1} << 30;
/// Models below this size get one thread per group, even when there are fewer groups than threads: their decodes take
/// half a millisecond, in which the threads wait for each other a hundred times. Measured with 7 million parameters and
/// one prompt: with 2 threads no faster than with 1, and 0.6 times as fast beside another program. Larger ones write
/// one group with all threads: their decodes last long enough, and weights come from memory once for all.
constexpr std::uint64_t kThreadedParameters = 100'000'000;

/// Hands results on in order, whichever thread they come from. After a failure nothing more is handed on.
class OrderedResults {
 public:
  OrderedResults(std::size_t first, std::size_t count, const ParallelGenerator::Consumer& consumer)
      : slots_(count), consumer_(consumer), next_(first) {}

  void put(std::size_t prompt, std::vector<Reply>&& replies) {
    const std::lock_guard lock(mutex_);
    slots_[prompt].replies = std::move(replies);
    hand_on();
  }
  /// The first of the group's prompts without replies is the one that failed.
  void put_failure(std::size_t group, std::size_t size, std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    std::size_t prompt = std::max(group, next_);
    while (prompt < std::min(group + size, slots_.size()) - 1 && slots_[prompt].replies) ++prompt;
    slots_[prompt].failure = std::move(failure);
    fail_at(prompt);
    hand_on();
  }
  /// Whether some prompt before this one failed, so that nobody waits for it.
  bool failed_before(std::size_t prompt) const { return prompt > first_failure_; }
  void rethrow_failure() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  struct Slot {
    std::optional<std::vector<Reply>> replies;
    std::exception_ptr failure;
  };
  void fail_at(std::size_t prompt) { first_failure_ = std::min<std::size_t>(first_failure_, prompt); }
  void hand_on() {
    while (!failure_ && next_ < slots_.size()) {
      Slot& slot = slots_[next_];
      if (slot.failure) {
        failure_ = slot.failure;
      } else if (slot.replies) {
        try {
          consumer_(next_, std::move(*slot.replies));
        } catch (...) {
          fail_at(next_);
          failure_ = std::current_exception();
        }
        slot.replies.reset();
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
  std::atomic<std::size_t> first_failure_{std::numeric_limits<std::size_t>::max()};
};

}  // namespace

ParallelGenerator::ParallelGenerator(const Backbone& backbone, const GenerationSettings& settings,
                                     std::span<const EncodedPrompt> prompts, int threads)
    : prompts_(prompts), pool_(threads), group_(Generator::group_size(settings, prompts.size())) {
  std::size_t longest = 1;
  for (const EncodedPrompt& prompt : prompts) longest = std::max(longest, prompt.tokens.size());
  const bool on_device = backbone.placement().device != nullptr;  // it has one queue, and its own memory
  const bool threaded = on_device || backbone.identity().active_parameters >= kThreadedParameters;
  const std::size_t bytes = std::max<std::size_t>(1, Generator::context_bytes(backbone, settings, longest, group_));
  const std::size_t groups = std::max<std::size_t>(1, (prompts.size() + group_ - 1) / group_);
  const std::size_t useful = threaded ? 1 : std::min(groups, static_cast<std::size_t>(pool_.size()));
  const std::size_t workers = std::clamp<std::size_t>(kWorkerMemory_bytes / bytes, 1, useful);
  while (generators_.size() < workers) {
    generators_.push_back(
        std::make_unique<Generator>(backbone, settings, longest, group_, threaded ? pool_.size() : 1));
  }
}

void ParallelGenerator::generate(const Consumer& consumer, std::size_t first) {
  OrderedResults results(first, prompts_.size(), consumer);
  std::atomic<std::size_t> next{first / group_};
  // One part per worker, but each takes the next group when it is free: replies differ in length.
  pool_.for_parts(generators_.size(), 1, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t w = begin; w < end; ++w) {
      for (;;) {
        const std::size_t start = group_ * next.fetch_add(1);
        if (start >= prompts_.size() || results.failed_before(start)) break;
        try {
          generators_[w]->generate(prompts_.subspan(start, std::min(group_, prompts_.size() - start)),
                                   [&](std::size_t i, std::vector<Reply>&& replies) {
                                     if (results.failed_before(start + i))
                                       throw Error(ErrorCode::Interrupted, "another prompt failed");
                                     if (start + i >= first) results.put(start + i, std::move(replies));
                                   });
        } catch (...) {
          results.put_failure(start, group_, std::current_exception());
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
