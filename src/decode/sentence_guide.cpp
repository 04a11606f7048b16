#include "decode/sentence_guide.h"

#include <algorithm>
#include <utility>

namespace coala {

std::optional<double> SentenceGuide::Continuation::score(const Head& head) const {
  const PooledState& feature = stream->feature();
  return feature.empty() ? std::nullopt : std::optional(head.score(feature.feature()));
}

void SentenceGuide::draw(ReplyStream& stream, const Session::Output& output) {
  parts_.drawer.draw(stream, output, parts_.session.threads());
}

void SentenceGuide::begin(const Session::Output& next) {
  go_on(Session::OwnedOutput(next));
}

/// Whether all continuations have come to the end of the sentence, or of the reply.
bool SentenceGuide::is_drawn() const {
  return std::ranges::none_of(continuations_, [](const Continuation& one) { return one.stream->waits(); });
}

/// Draws sentences until something must be evaluated.
void SentenceGuide::go_on(Session::OwnedOutput next) {
  while (!parts_.stream->finished()) {
    begin_sentence(next.view());
    if (!is_drawn()) return;
    next = end_sentence();
  }
}

void SentenceGuide::begin_sentence(const Session::Output& next) {
  for (std::size_t i = 0; i < parts_.branches.size(); ++i) {
    Continuation one{parts_.branches[i], parts_.stream->branch(sentences_, static_cast<int>(i)), {}};
    parts_.session.fork(parts_.sequence, one.sequence);
    draw(*one.stream, next);
    continuations_.push_back(std::move(one));
  }
  ++sentences_;
}

/// Makes the best continuation the reply. @return  what follows it
Session::OwnedOutput SentenceGuide::end_sentence() {
  std::vector<std::optional<double>> scores;
  for (const Continuation& one : continuations_) scores.push_back(one.score(*parts_.settings.reward->head));
  const std::size_t place = highest_score(scores);
  Continuation best = std::move(continuations_[place]);
  parts_.session.fork(best.sequence, parts_.sequence);
  for (const int branch : parts_.branches) parts_.session.drop(branch);
  continuations_.clear();
  parts_.stream = std::move(best.stream);
  parts_.stream->chosen(scores[place]);
  return std::move(best.next);
}

void SentenceGuide::prepare(std::vector<Session::Row>& rows) {
  for (const Continuation& one : continuations_) {
    if (one.stream->waits()) rows.push_back({one.sequence, one.stream->last()});
  }
}

void SentenceGuide::take(std::span<const Session::Output> outputs) {
  std::size_t row = 0;
  for (Continuation& one : continuations_) {
    if (!one.stream->waits()) continue;
    const Session::Output& output = outputs[row++];
    one.stream->evaluated(output.state);
    if (one.stream->finished()) continue;
    if (one.stream->ends_sentence()) {
      one.next = Session::OwnedOutput(output);
    } else {
      draw(*one.stream, output);
    }
  }
  if (is_drawn()) go_on(end_sentence());
}

}  // namespace coala
