#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/parallel.h"
#include "decode/generator.h"

namespace coala {

/// Replies to several prompts at a time, each prompt on a thread of its own; see ParallelExtractor for why.
class ParallelGenerator {
 public:
  /// Takes a prompt's candidates.
  using Consumer = std::function<void(std::size_t prompt, std::vector<Reply>&& candidates)>;

  /// @param threads  0: all cores this process may use. As many prompts at once as there are and memory allows;
  ///   threads that are left over go to llama.cpp when the model is large.
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
  std::vector<std::unique_ptr<Generator>> generators_;
};

}  // namespace coala
