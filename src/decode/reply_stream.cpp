#include "decode/reply_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "core/hash.h"
#include "decode/stop_strings.h"

namespace coala {

ReplyStream::ReplyStream(const Backbone& backbone, const GenerationSettings& settings, const EncodedPrompt& prompt,
                         int candidate, std::optional<PooledState> feature)
    : backbone_(backbone),
      settings_(settings),
      prompt_(prompt),
      stops_(settings.stops),
      seed_(candidate_seed(settings.seed, prompt.tokens, static_cast<std::size_t>(candidate))),
      sampler_(settings.sampling, seed_, settings.grammar),
      feature_(std::move(feature)),
      decoder_(backbone, prompt) {
  stops_.insert(stops_.end(), prompt.stops.begin(), prompt.stops.end());
  sampler_.accept(prompt.tokens);
}

void ReplyStream::take(const DrawnToken& drawn) {
  reply_.log_probability += drawn.log_probability;
  if (settings_.measures) ++reply_.log_probability_tokens;
  reply_.entropy += drawn.entropy;
  reply_.divergence += drawn.divergence;
  if (settings_.trace || settings_.alternatives) reply_.trace.push_back(drawn);
  if (backbone_.ends_reply(prompt_, reply_.tokens, drawn.token)) {
    // Not part of the reply, neither for its text nor for its score.
    reply_.finish = Finish::Stop;
    finished_ = true;
    if (!stops_.empty()) follow_text();  // a broken character at the end is one now
    return;
  }
  reply_.tokens.push_back(drawn.token);
  if (follows_text()) decoder_.add(drawn.token);
  const bool at_limit = reply_.tokens.size() >= settings_.max_tokens;
  finished_ = at_limit || prompt_.tokens.size() + reply_.tokens.size() >= backbone_.identity().context_tokens;
  reply_.finish = at_limit ? Finish::Length : Finish::Context;
  // The last token is evaluated for its state alone.
  waits_ = !finished_ || feature_.has_value();
  if (follows_text()) follow_text();
}

void ReplyStream::evaluated(std::span<const float> state) {
  waits_ = false;
  if (feature_) feature_->add(state);
}

std::unique_ptr<ReplyStream> ReplyStream::branch(std::size_t sentence, int number) const {
  std::unique_ptr<ReplyStream> copy(new ReplyStream(*this));
  copy->is_hidden_ = true;
  if (number > 0) copy->sampler_.reseed(hash64(fmt::format("sentence {}, {}", sentence, number), seed_));
  return copy;
}

bool ReplyStream::ends_sentence() const {
  constexpr std::size_t kLast = 4;  // tokens that show how the text ends
  const std::span<const Token> tokens = reply_.tokens;
  const std::string text = backbone_.decode_response(prompt_, tokens.last(std::min(kLast, tokens.size())));
  const std::size_t end = text.find_last_not_of(" \t\"')");
  return end != std::string::npos && std::string_view(".!?\n").find(text[end]) != std::string_view::npos;
}

void ReplyStream::chosen(std::optional<double> score) {
  ++reply_.guided_steps;
  if (!reply_.trace.empty()) reply_.trace.back().score = score;
  is_hidden_ = false;
  if (settings_.on_text && !ending_) show(decoder_.text());
}

/// Ends the reply before a stop string, and shows what is sure to be in it.
void ReplyStream::follow_text() {
  ReplyText reply = decoder_.text();
  std::string& text = reply.answer;
  const std::size_t sure = text.size() - (finished_ ? 0 : broken_bytes(text));
  const std::size_t stop = find_stop(std::string_view(text).substr(0, sure), stops_);
  if (feature_) earlier_.push_back(*feature_);
  if (stop != std::string::npos) {
    text.resize(stop);
    std::size_t kept = reply_.tokens.size() - 1;
    while (kept > settled_tokens_ &&
           backbone_.decode_reply(prompt_, std::span(reply_.tokens).first(kept)).answer.size() > stop) {
      --kept;
    }
    reply_.tokens.resize(kept);
    if (feature_) feature_ = earlier_[kept - settled_tokens_];
    reply_.finish = Finish::Stop;
    finished_ = true;
    waits_ = false;
    ending_ = std::move(reply);
    return;
  }
  if (unsettled_bytes(text, stops_) == 0) {
    earlier_.clear();
    settled_tokens_ = reply_.tokens.size();
  }
  if (settings_.on_text && !is_hidden_) show(reply);
}

/// White space that may be the template's is not the reply's, and the beginning of thoughts none of the answer's.
void ReplyStream::show(const ReplyText& reply) {
  const std::string_view text = reply.answer;
  const std::size_t settled = text.size() - unsettled_bytes(text, stops_);
  const bool is_answer =
      finished_ || shown_bytes_ > 0 || !reply.reasoning.empty() || !backbone_.may_become_thoughts(prompt_, text);
  if (settled > shown_bytes_ && is_answer && !prompt_.response_lead.starts_with(text)) {
    if (settled == text.size()) show_tokens();
    settings_.on_text(text.substr(shown_bytes_, settled - shown_bytes_));
    shown_bytes_ = settled;
  }
}

/// Of the trace, what is of the reply and was not shown yet.
void ReplyStream::show_tokens() {
  const std::size_t count = std::min(reply_.trace.size(), reply_.tokens.size());
  if (!settings_.on_drawn || count <= shown_tokens_) return;
  settings_.on_drawn(std::span(reply_.trace).subspan(shown_tokens_, count - shown_tokens_));
  shown_tokens_ = count;
}

Reply ReplyStream::finish() {
  ReplyText reply = ending_ ? std::move(*ending_) : backbone_.decode_reply(prompt_, reply_.tokens);
  reply_.text = std::move(reply.answer);
  reply_.reasoning = std::move(reply.reasoning);
  show_tokens();
  if (settings_.on_text && reply_.text.size() > shown_bytes_) {
    settings_.on_text(std::string_view(reply_.text).substr(shown_bytes_));
  }
  if (feature_ && !reply_.tokens.empty()) reply_.score = settings_.reward->head->score(feature_->feature());
  return std::move(reply_);
}

}  // namespace coala
