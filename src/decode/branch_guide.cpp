#include "decode/branch_guide.h"

#include <utility>

namespace coala {

BranchGuide::BranchGuide(GuideParts parts)
    : parts_(std::move(parts)),
      step_(parts_.backbone, parts_.session, *parts_.settings.reward, *parts_.settings.branch, parts_.sequence,
            parts_.branches, parts_.settings.tilt) {}

/// Without a scale the scores would change nothing but, by rounding, the winner's logits.
bool BranchGuide::is_guided() const {
  const BranchSettings& branch = *parts_.settings.branch;
  return branch.scale != 0 && (parts_.stream->tokens().size() + 1) % static_cast<std::size_t>(branch.every) == 0;
}

/// Draws the next token, or begins a step that does.
void BranchGuide::go_on(Session::Output output) {
  ReplyStream& stream = *parts_.stream;
  if (stream.finished()) return;
  if (!is_guided()) {
    parts_.drawer.draw(stream, output, parts_.session.threads());
    return;
  }
  begin_step(output);
  if (!step_.is_open()) end_step();
}

void BranchGuide::begin_step(const Session::Output& output) {
  untilted_.assign(output.logits.begin(), output.logits.end());
  const LogitsProcessor* const tilt = parts_.settings.tilt;
  const std::span<const float> logits = parts_.drawer.tilted(output, tilt, parts_.session.threads());
  if (tilt != nullptr) tilted_.assign(logits.begin(), logits.end());
  step_.begin(parts_.stream->feature(), parts_.stream->sampler(), logits);
}

/// Takes what the step has drawn.
void BranchGuide::end_step() {
  const BranchChoice& choice = step_.choice();
  ReplyStream& stream = *parts_.stream;
  if (choice.guided) stream.count_guided_step();
  stream.take(
      drawn_token(parts_.settings, tilted_.empty() ? untilted_ : tilted_, untilted_, choice.token, choice.score));
  if (stream.waits() && choice.next) stream.evaluated(choice.next->state);
}

void BranchGuide::prepare(std::vector<Session::Row>& rows) {
  if (step_.is_open()) {
    step_.prepare(rows);
  } else {
    rows.push_back({parts_.sequence, parts_.stream->last()});
  }
}

void BranchGuide::take(std::span<const Session::Output> outputs) {
  if (!step_.is_open()) {
    parts_.stream->evaluated(outputs.front().state);
    go_on(outputs.front());
    return;
  }
  step_.take(outputs);
  if (step_.is_open()) return;
  end_step();
  if (step_.choice().next) go_on(*step_.choice().next);
}

}  // namespace coala
