#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/estimate.h"
#include "data/record.h"
#include "decode/logits_processor.h"
#include "extract/feature_extractor.h"
#include "head/head.h"
#include "head/next_lesson.h"
#include "head/token_learner.h"
#include "lm/output_matrix.h"
#include "teach/preference_log.h"

namespace coala {

struct TeacherOptions {
  std::filesystem::path pairs;  ///< file of preference pairs, which grows; ratings go into one beside it
  const Head* prior = nullptr;  ///< the head to begin with, copied; it has a token head; null: none
  FeatureSettings features;     ///< how texts become tokens; the poolings do not matter
  std::size_t rank = 32;        ///< of the head, without a prior
  std::uint64_t seed = 0;
  int threads = 1;
};

/// Log-odds of what was said in a lesson, by the head before it and by the head with it.
struct Change {
  double before = 0;
  double after = 0;
};

/// What has been learnt so far.
struct LessonReport {
  std::size_t pairs = 0;
  std::size_t ratings = 0;
  std::string last_id;                ///< of the last lesson; "" when there is none
  double accuracy = 0;                ///< share of lessons that those of other prompts foresee
  Interval interval;                  ///< of it, 95 %, by prompts
  double reliability = 0;             ///< from 0 (a coin) to 1
  double last_log_odds = 0;           ///< that the others give the last lesson, for what was said
  std::optional<Change> last_change;  ///< of the last lesson, if it was learnt last
  bool last_was_cut = false;          ///< to max_length_tokens: the end of a text was not looked at
  std::vector<std::string> raised;    ///< words of the lessons that the head raises, the most first
  std::vector<std::string> lowered;   ///< and those that it lowers
  double evaluation_s = 0;            ///< of the last lesson's texts by the model
  double solution_s = 0;              ///< from there to the head
};

/// Throws when nobody waits for a lesson any more. It is called while the lesson waits for others and, for the last
/// time, right before it is kept.
using StillWanted = std::function<void()>;

/// Replies to a prompt, of which two could be compared.
struct Choices {
  Prompt prompt;
  std::vector<std::string> replies;
};

/// Two replies to one prompt, and what a comparison of them would teach.
struct NextPair {
  std::size_t choices = 0;  ///< which of the prompts
  std::size_t first = 0;    ///< of its replies
  std::size_t second = 0;
  Outlook outlook;  ///< of the log-odds that the first is better
  double information_bits = 0;
  std::size_t considered = 0;  ///< pairs that it was chosen from
};

/// A lesson, and its part in what the lessons foresee of a reply.
struct LessonPart {
  Record record;
  double influence = 0;  ///< the log-odds less those without the lesson
};

/// Which lessons speak for a reply, or for one rather than another.
struct ReplyInfluences {
  double log_odds = 0;  ///< by all lessons, and the prior
  std::size_t lessons = 0;
  bool were_cut = false;                 ///< texts, to max_length_tokens
  std::vector<LessonPart> raise, lower;  ///< the most first
};

/// Learns a token head from preferences as they are given: one at a time, kept on the disk before anything is made of
/// it, the convex program solved again from where it stood. From any thread; lessons wait for each other, and writing
/// waits for none.
class Teacher {
 public:
  /// Reads what was said before, and evaluates it where the numbers are not kept ("<pairs>.lessons"). What cannot be
  /// learnt of it is said and left out.
  /// @throws Error{BadInput} for a model that cannot have a token head or a file that is something else,
  ///   Error{BadUsage} when another process has the file, Error{Io}, Error{Interrupted}
  Teacher(const Backbone& backbone, std::shared_ptr<const OutputMatrix> output, const TeacherOptions& options);
  ~Teacher();

  /// One reply is better than another.
  /// @throws Error{BadInput} for texts that are empty or alike, that a reader of data would not give back, or that the
  ///   model cannot tell apart; Error{Io}; what still_wanted throws: then nothing is kept
  LessonReport prefer(const Prompt& prompt, const std::string& chosen, const std::string& rejected,
                      const StillWanted& still_wanted = {});
  /// A reply is good, or is not. @throws as prefer()
  LessonReport rate(const Prompt& prompt, const std::string& response, bool liked,
                    const StillWanted& still_wanted = {});
  /// Takes the last of them back.
  /// @param id  of the lesson that is meant; "": whichever is the last
  /// @throws Error{BadUsage} when there is none, Error{BadInput} when there is none of this id, Error{Mismatch} when
  ///   others came after it; what still_wanted throws
  LessonReport undo(const std::string& id = {}, const StillWanted& still_wanted = {});
  /// Of all pairs of replies to the same prompt the one whose comparison would teach most, by information_bits(); one
  /// that was compared already only where there is no other.
  /// @throws Error{BadInput} when no two replies differ; what still_wanted throws
  NextPair next_pair(std::span<const Choices> choices, const StillWanted& still_wanted = {});
  /// Which lessons make what is foreseen of a reply, see TokenLearner::influence().
  /// @param than   the reply that it is compared with; null: none, it is looked at by itself
  /// @param count  of the lessons that raise the log-odds and of those that lower them, at most
  /// @throws Error{BadInput} for replies that are alike, or are so to the model; what still_wanted throws
  ReplyInfluences influences(const Prompt& prompt, const std::string& response, const std::string* than,
                             std::size_t count, const StillWanted& still_wanted = {});
  /// Lessons that are being learnt or wait.
  int waiting() const { return waiting_; }
  /// For how long the lesson or the question that is being worked on has been; 0 when there is none.
  double running_s() const;

  LessonReport report() const;
  /// The head as a tilt at scale 1; it stays what it is when another takes its place. Null: nothing is learnt yet.
  std::shared_ptr<const LogitsProcessor> tilt() const;
  /// The head for a file: of the prior the token head is replaced; without one it guides and scores nothing.
  Head head() const;
  /// All that was said, a line each; pairs or ratings.
  std::string exported(RecordKind kind) const;

 private:
  struct State;
  class Turn;
  LessonReport keep(const Record& record, const StillWanted& still_wanted);
  LessonReport learn(std::optional<double> before = std::nullopt);

  std::atomic<int> waiting_{0};
  std::atomic<double> began_s_{0};  ///< of the clock; 0: nothing is worked on
  std::mutex work_;                 ///< of the state
  std::unique_ptr<State> state_;
  mutable std::mutex mutex_;  ///< of what is to be seen while another lesson is learnt
  LessonReport report_;
  Head head_;
  std::shared_ptr<const LogitsProcessor> tilt_;
  std::string pairs_text_, ratings_text_;
};

}  // namespace coala
