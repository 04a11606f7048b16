#pragma once

#include <span>
#include <vector>

#include "decode/branch_step.h"
#include "decode/guide.h"

namespace coala {

/// Token after token; every N-th is chosen with the head's opinion (BranchStep).
class BranchGuide : public Guide {
 public:
  /// @param parts  with branches for the candidates of a step
  explicit BranchGuide(GuideParts parts);

  void begin(const Session::Output& next) override { go_on(next); }
  bool is_done() const override { return !step_.is_open() && !parts_.stream->waits(); }
  void prepare(std::vector<Session::Row>& rows) override;
  void take(std::span<const Session::Output> outputs) override;
  ReplyStream& stream() override { return *parts_.stream; }

 private:
  void go_on(Session::Output output);
  bool is_guided() const;
  void begin_step(const Session::Output& output);
  void end_step();

  GuideParts parts_;
  BranchStep step_;
  // Of a guided step, whose branches take the place of its logits.
  std::vector<float> untilted_;
  std::vector<float> tilted_;  ///< where there is a tilt
};

}  // namespace coala
