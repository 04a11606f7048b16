#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

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
  /// One number per reply, in their order; more is better.
  virtual std::vector<double> scores(std::span<const ReplyToJudge> replies) = 0;
};

/// Another head's scores.
class HeadJudge : public Judge {
 public:
  /// @param head_name  for name()
  HeadJudge(Head head, std::string head_name, const Backbone& backbone, const FeatureSettings& features, int threads);
  std::string name() const override { return name_; }
  /// A reply without text gets the lowest score of the others.
  std::vector<double> scores(std::span<const ReplyToJudge> replies) override;

 private:
  Head head_;
  std::string name_;
  Scorer scorer_;
};

/// A program of the user's. It gets one JSON object per line on its standard input, {"id", "prompt", "response"}, the
/// prompt as messages or as a text, and writes one per line in the same order, {"score": number}, or true or
/// false for a rule that is kept or not.
class CommandJudge : public Judge {
 public:
  /// @param seconds_per_reply  that it may take, in the mean of a call
  CommandJudge(std::string command, double seconds_per_reply)
      : command_(std::move(command)), seconds_per_reply_(seconds_per_reply) {}
  std::string name() const override { return command_; }
  /// @throws Error{BadInput} when the program fails, takes too long or does not answer as it should, saying which line;
  ///   Error{Io}, Error{Interrupted}. The program and what it has started are ended in either case.
  std::vector<double> scores(std::span<const ReplyToJudge> replies) override;

 private:
  std::string command_;
  double seconds_per_reply_;
};

}  // namespace coala
