#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "decode/branch_guide.h"
#include "decode/generation_settings.h"
#include "decode/reply.h"
#include "decode/reply_stream.h"
#include "decode/token_drawer.h"
#include "lm/session.h"

namespace coala {

/// Writes replies one after the other, each with the rows of a session to itself: with branch guidance, and where the
/// head chooses sentences. One thread at a time.
class SoloWriter {
 public:
  /// @param settings  with one of the two; must outlive it
  /// @throws Error{OutOfMemory}
  SoloWriter(const Backbone& backbone, const GenerationSettings& settings, std::size_t longest_prompt_tokens,
             int threads);

  /// The candidates of a prompt.
  /// @throws Error{BadInput} for a prompt without tokens or one that leaves no room for a reply; Error{Interrupted}
  std::vector<Reply> write(const EncodedPrompt& prompt);

  /// Forgets the prompts that were written to, so that what comes is the same bits as from a new writer.
  void clear() { session_.clear(); }

  const SessionCounts& counts() const { return session_.counts(); }
  /// Estimate of what it needs beside the model.
  static std::size_t context_bytes(const Backbone& backbone, const GenerationSettings& settings,
                                   std::size_t longest_prompt_tokens);

 private:
  struct Continuation;
  void draw(ReplyStream& stream, const Session::Output& output);
  void write_branched(ReplyStream& stream, Session::Output output);
  void write_by_sentence(std::unique_ptr<ReplyStream>& stream, const Session::Output& output);
  void end_sentences(std::span<Continuation> all);

  const Backbone& backbone_;
  const GenerationSettings& settings_;
  Session session_;
  TokenDrawer drawer_;
  std::optional<BranchGuide> guide_;
  std::vector<float> untilted_;  ///< logits of a guided step, whose branches take llama.cpp's place for them
};

}  // namespace coala
