#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "decode/guide.h"

namespace coala {

/// Sentence by sentence: several continuations are drawn together, and the one goes on whose text the head likes best.
class SentenceGuide : public Guide {
 public:
  /// @param parts  with a branch for each continuation
  explicit SentenceGuide(GuideParts parts) : parts_(std::move(parts)) {}

  void begin(const Session::Output& next) override;
  bool is_done() const override { return continuations_.empty(); }
  void prepare(std::vector<Session::Row>& rows) override;
  void take(std::span<const Session::Output> outputs) override;
  ReplyStream& stream() override { return *parts_.stream; }

 private:
  /// One way that the reply may go on, and what follows it.
  struct Continuation {
    int sequence = 0;
    std::unique_ptr<ReplyStream> stream;
    Session::OwnedOutput next;

    std::optional<double> score(const Head& head) const;
  };
  void go_on(Session::OwnedOutput next);
  void begin_sentence(const Session::Output& next);
  Session::OwnedOutput end_sentence();
  bool is_drawn() const;
  void draw(ReplyStream& stream, const Session::Output& output);

  GuideParts parts_;
  std::vector<Continuation> continuations_;  ///< of the sentence that is being drawn
  std::size_t sentences_ = 0;                ///< that were begun
};

}  // namespace coala
