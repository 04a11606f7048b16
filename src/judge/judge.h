#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/record.h"
#include "judge/scorer.h"

namespace coala {

/// A reply that somebody is to judge.
struct ReplyToJudge {
  std::string id;  ///< of the prompt
  const Prompt* prompt = nullptr;
  std::string text;
};

/// Says how good replies are; it must not be the head that guided them.
class Judge {
 public:
  virtual ~Judge() = default;
  virtual std::string name() const = 0;
  /// What its scores depend on beside the reply.
  virtual std::string identity() const { return name(); }
  /// Whether a reply without text has a score of its own.
  virtual bool scores_nothing() const { return true; }

  /// Takes the score of replies[i], as soon as it is known.
  using Heard = std::function<void(std::size_t i, double score)>;
  /// One number per reply; more is better.
  virtual void score_each(std::span<const ReplyToJudge> replies, const Heard& heard) = 0;
  /// The same together, in the order of the replies.
  std::vector<double> scores(std::span<const ReplyToJudge> replies);
};

/// A judge has answered in good order, but not once for each reply: its scores may be those of other replies.
class OutOfStep : public Error {
 public:
  using Error::Error;
};

/// Another head's scores.
class HeadJudge : public Judge {
 public:
  /// @param head_name  for name()
  /// @param head_hash  of its file
  HeadJudge(Head head, std::string head_name, std::string head_hash, const Backbone& backbone,
            const FeatureSettings& features, int threads);
  std::string name() const override { return name_; }
  std::string identity() const override { return name_ + " " + hash_; }
  bool scores_nothing() const override { return false; }
  /// A reply without text gets the lowest score of the others, after them.
  void score_each(std::span<const ReplyToJudge> replies, const Heard& heard) override;

 private:
  Head head_;
  std::string name_, hash_;
  Scorer scorer_;
};

/// Is a head no judge of what the guiding head wrote, since both were trained on the same data?
/// @throws Error{BadUsage}
void check_independent(const Head& judge, const std::string& judge_name, const Head& guiding);

/// A program of the user's. It gets one JSON object per line on its standard input, {"id", "prompt", "response"}, the
/// prompt as messages or as a text, and writes one per line in the same order, {"score": number}, or true or
/// false for a rule that is kept or not.
class CommandJudge : public Judge {
 public:
  /// @param seconds_per_reply  that it may take, in the mean of a call
  CommandJudge(std::string command, double seconds_per_reply)
      : command_(std::move(command)), seconds_per_reply_(seconds_per_reply) {}
  std::string name() const override { return command_; }
  /// Each line is heard when the program has written it: one that keeps its output back is heard at its end.
  /// @throws Error{BadInput} when the program fails, takes too long or does not answer as it should, saying which line;
  ///   OutOfStep{BadInput} when it writes more or fewer lines than it reads and says that all is well; Error{Io},
  ///   Error{Interrupted}. The program and what it has started are ended in either case.
  void score_each(std::span<const ReplyToJudge> replies, const Heard& heard) override;

 private:
  std::string command_;
  double seconds_per_reply_;
};

}  // namespace coala
