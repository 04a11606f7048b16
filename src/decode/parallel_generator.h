#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/parallel.h"
#include "decode/generator.h"

namespace coala {

/// Replies to prompts in groups, see Generator; of small models several groups at a time, each on a thread of its own
/// (see ParallelExtractor for why). The groups depend on neither threads nor memory: the same prompts and settings give
/// the same bits, wherever generate() begins.
class ParallelGenerator {
 public:
  using Consumer = Generator::Consumer;

  /// @param threads  0: all cores this process may use
  ParallelGenerator(const Backbone& backbone, const GenerationSettings& settings,
                    std::span<const EncodedPrompt> prompts, int threads);

  /// Generates replies to all prompts and hands them on in the prompts' order, on one thread at a time.
  /// @param first  number of the first prompt; those before it have their replies already
  /// @throws what Generator::generate() throws for the first prompt that fails, after those before it were handed on
  void generate(const Consumer& consumer, std::size_t first = 0);

  SessionCounts counts() const;  ///< of all threads

 private:
  std::span<const EncodedPrompt> prompts_;
  ThreadPool pool_;
  std::size_t group_;  ///< prompts of a group
  std::vector<std::unique_ptr<Generator>> generators_;
};

}  // namespace coala
