#include "teach/teacher.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <functional>
#include <map>
#include <ranges>
#include <set>
#include <thread>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/resources.h"
#include "core/utf8.h"
#include "data/split.h"
#include "data/writer.h"
#include "decode/named_words.h"
#include "decode/token_tilt.h"
#include "eval/intervals.h"
#include "extract/provenance.h"
#include "head/guiding_head.h"
#include "head/token_weights.h"
#include "teach/calibration.h"
#include "teach/lesson_store.h"

namespace coala {
namespace {

/// Part of the budget that is aimed at: what a head says is known to the second order, and replies lead to other
/// states.
constexpr double kAim = 0.88;

std::filesystem::path beside(const std::filesystem::path& path, const char* name) {
  return path.parent_path() / (path.stem().string() + name + path.extension().string());
}

const Prompt& prompt_of(const Record& record) {
  return std::visit([](const auto& one) -> const Prompt& { return one.prompt; }, record);
}

const std::string& id_of(const Record& record) {
  return std::visit([](const auto& one) -> const std::string& { return one.id; }, record);
}

/// The number in "lesson-12-0f3a9c1d"; 0 for another id.
std::size_t number_of(const Record& record) {
  const std::string& id = id_of(record);
  constexpr std::string_view kStart = "lesson-";
  return id.starts_with(kStart) ? std::strtoull(id.c_str() + kStart.size(), nullptr, 10) : 0;
}

/// Texts and their lengths where a lesson is cut; at most the model's context.
constexpr std::size_t kLongestLesson_tokens = 2048;
/// Lessons between two writings of the numbers that are kept of them.
constexpr std::size_t kSaveEvery = 8;

/// The records of both logs in the order in which they were said. Each log's own order stays, whatever its numbers are.
std::vector<const Record*> in_order(const PreferenceLog& pairs, const PreferenceLog& ratings) {
  std::vector<const Record*> all;
  auto pair = pairs.records().begin();
  auto rating = ratings.records().begin();
  while (pair != pairs.records().end() || rating != ratings.records().end()) {
    const bool takes_pair =
        rating == ratings.records().end() || (pair != pairs.records().end() && number_of(*pair) <= number_of(*rating));
    all.push_back(takes_pair ? &*pair++ : &*rating++);
  }
  return all;
}

}  // namespace

struct Teacher::State {
  /// Something that was said.
  struct Said {
    std::string id;
    bool is_pair = true;
    bool is_learnt = true;
    std::string key;            ///< of its numbers
    std::vector<Token> tokens;  ///< of its replies
  };
  /// A lesson and what else is known of its texts.
  struct Looked {
    Lesson lesson;
    std::vector<Token> tokens;
    bool was_cut = false;
  };

  const Backbone& backbone;
  std::shared_ptr<const OutputMatrix> output;
  std::optional<Head> prior;
  Head kept_head;  ///< that is given away, but for its token head
  PreferenceLog pairs;
  PreferenceLog ratings;
  LessonStore kept;
  std::optional<FeatureExtractor> extractor;
  std::optional<TokenLearner> learner;
  std::vector<Said> said;
  std::shared_ptr<const TokenTable> table;
  std::map<Token, std::size_t> occurrences;  ///< of the lessons' tokens
  std::size_t number = 0;                    ///< of the last lesson
  LessonReport report;

  State(const Backbone& model, std::shared_ptr<const OutputMatrix> matrix, const TeacherOptions& wanted)
      : backbone(model),
        output(std::move(matrix)),
        pairs(wanted.pairs, RecordKind::Pair),
        ratings(beside(wanted.pairs, "-ratings"), RecordKind::Labelled),
        kept(std::filesystem::path(wanted.pairs) += ".lessons") {
    if (wanted.prior != nullptr) prior = *wanted.prior;
    pairs.open();
  }

  Matrix<float> sums_of(std::span<const EncodedResponse> encoded);
  std::vector<float> evaluate(std::span<const EncodedResponse> encoded);
  void check_sums(const std::vector<float>& sums, bool were_cut) const;
  Looked look_at(const Record& record, const std::string& key);
  void learn_from(Looked&& looked, const Record& record, std::string key);
  void count(const std::vector<Token>& tokens, int by);
};

/// TokenSums of replies to a prompt, [replies, r r + r].
Matrix<float> Teacher::State::sums_of(std::span<const EncodedResponse> encoded) {
  std::vector<const EncodedResponse*> responses;
  for (const EncodedResponse& response : encoded) responses.push_back(&response);
  const Matrix<float> features = extractor->pool(responses);
  const std::size_t first = extractor->pooled_dimension();
  Matrix<float> sums(features.rows(), features.cols() - first);
  for (std::size_t i = 0; i < sums.rows(); ++i) std::ranges::copy(features.row(i).subspan(first), sums.row(i).begin());
  return sums;
}

/// Those of one reply, or of the first less those of the second.
std::vector<float> Teacher::State::evaluate(std::span<const EncodedResponse> encoded) {
  const Matrix<float> all = sums_of(encoded);
  std::vector<float> sums(all.row(0).begin(), all.row(0).end());
  for (std::size_t other = 1; other < all.rows(); ++other) {
    for (std::size_t j = 0; j < sums.size(); ++j) sums[j] -= all(other, j);
  }
  return sums;
}

/// @throws Error{BadInput} when they say nothing
void Teacher::State::check_sums(const std::vector<float>& sums, bool were_cut) const {
  const bool finite = std::ranges::all_of(sums, [](float value) { return std::isfinite(value); });
  const bool empty = std::ranges::all_of(sums, [](float value) { return value == 0; });
  if (finite && !empty) return;
  throw Error(ErrorCode::BadInput,
              finite ? "the model sees no difference: nothing can be learnt" : "the model's states are not finite",
              were_cut ? fmt::format("texts are looked at up to {} tokens", extractor->max_length_tokens()) : "");
}

/// By the numbers that are kept of it, or by an evaluation.
/// @param key  of the record in the store
/// @throws Error{BadInput} when nothing can be learnt of it
Teacher::State::Looked Teacher::State::look_at(const Record& record, const std::string& key) {
  std::vector<std::string_view> texts;
  Looked looked;
  if (const Pair* pair = std::get_if<Pair>(&record)) {
    texts = {pair->chosen, pair->rejected};
  } else {
    texts = {std::get<Labelled>(record).response};
    looked.lesson.label = std::get<Labelled>(record).label;
  }
  const Prompt& prompt = prompt_of(record);
  looked.lesson.prompt = hash_text(prompt.key());
  FeatureCounts counts;
  const std::vector<EncodedResponse> encoded = extractor->encode(prompt, texts, counts);
  looked.was_cut = counts.truncated_prompts + counts.truncated_responses > 0;
  const std::vector<float>* sums = kept.find(key);
  looked.lesson.sums = sums != nullptr ? *sums : evaluate(encoded);
  check_sums(looked.lesson.sums, looked.was_cut);
  for (const EncodedResponse& response : encoded) {
    const auto begin = response.tokens.begin() + static_cast<std::ptrdiff_t>(response.prompt_tokens);
    looked.tokens.insert(looked.tokens.end(), begin, response.tokens.end());
  }
  return looked;
}

void Teacher::State::count(const std::vector<Token>& tokens, int by) {
  for (const Token token : tokens) occurrences[token] += static_cast<std::size_t>(by);
}

void Teacher::State::learn_from(Looked&& looked, const Record& record, std::string key) {
  count(looked.tokens, 1);
  report.last_was_cut = looked.was_cut;
  kept.add(key, looked.lesson.sums);
  learner->add(std::move(looked.lesson));
  said.push_back({id_of(record), std::holds_alternative<Pair>(record), true, std::move(key), std::move(looked.tokens)});
}

Teacher::Teacher(const Backbone& backbone, std::shared_ptr<const OutputMatrix> output, const TeacherOptions& options)
    : state_(std::make_unique<State>(backbone, std::move(output), options)) {
  State& state = *state_;
  const TokenHead* const prior = state.prior ? &*state.prior->token : nullptr;
  FeatureSettings features = options.features;
  features.max_length_tokens = std::min(kLongestLesson_tokens, backbone.identity().context_tokens);
  const std::string made_for = fmt::format(
      "{} {} {} {} {} {} {}", backbone.identity().hash, backbone.identity().adapter_hash,
      backbone.identity().adapter_scale, backbone.identity().template_hash, template_mode_name(features.template_mode),
      features.max_length_tokens, prior != nullptr ? hash_of(*prior) : fmt::format("rank {}", options.rank));
  if (!state.kept.open(made_for)) {
    OwnWriting own =
        calibrate(backbone, state.output, prior, options.rank, features.template_mode, options.seed, options.threads);
    state.kept.begin(made_for, std::move(own.basis), own.entropy);
  }
  const TokenBasis& basis = state.kept.basis();
  constexpr double kAllTokens = 1;  // lessons are few
  state.extractor.emplace(backbone, features, options.threads,
                          std::make_shared<const TokenProjection>(state.output, basis, kAllTokens));
  state.kept_head = state.prior
                        ? *state.prior
                        : make_guiding_head({}, state.extractor->pooled_dimension(),
                                            describe_features(*state.extractor, FeatureKind::Pairs, Dtype::F32, {}));
  state.kept_head.metadata.erase("guidance.divergence");  // of the prior alone
  const double budget = kGuidanceBudget * state.kept.entropy();
  state.learner.emplace(basis, prior, std::sqrt(2 * kAim * budget));
  const std::vector<const Record*> records = in_order(state.pairs, state.ratings);
  Progress progress("lessons", records.size(), "lessons");
  for (const Record* record : records) {
    throw_if_interrupted();
    std::string key = to_json_line(*record);
    try {
      state.learn_from(state.look_at(*record, key), *record, key);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::BadInput) throw;
      log_warning(fmt::format("lesson {} is left out: {}", id_of(*record), error.what()));
      state.said.push_back({id_of(*record), std::holds_alternative<Pair>(*record), false, std::move(key), {}});
    }
    state.number = std::max(state.number, number_of(*record));
    progress.advance(1);
  }
  learn();
  state.kept.save();
}

Teacher::~Teacher() {
  state_->kept.save();
}

LessonReport Teacher::prefer(const Prompt& prompt, const std::string& chosen, const std::string& rejected,
                             const StillWanted& still_wanted) {
  if (chosen == rejected) throw Error(ErrorCode::BadInput, "the two replies are the same", "show two that differ");
  Pair pair;
  pair.prompt = prompt;
  pair.chosen = chosen;
  pair.rejected = rejected;
  return keep(pair, still_wanted);
}

LessonReport Teacher::rate(const Prompt& prompt, const std::string& response, bool liked,
                           const StillWanted& still_wanted) {
  Labelled rated;
  rated.prompt = prompt;
  rated.response = response;
  rated.label = liked ? 1 : -1;
  return keep(rated, still_wanted);
}

namespace {

/// Counts somebody who waits.
class Waiter {
 public:
  explicit Waiter(std::atomic<int>& count) : count_(count) { ++count_; }
  ~Waiter() { --count_; }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

 private:
  std::atomic<int>& count_;
};

}  // namespace

/// The state, once no other lesson has it, and as long as somebody waits for this one.
class Teacher::Turn {
 public:
  Turn(Teacher& teacher, const StillWanted& still_wanted) : teacher_(teacher), lock_(teacher.work_, std::try_to_lock) {
    constexpr std::chrono::milliseconds kLook{5};
    while (!lock_.owns_lock()) {
      if (still_wanted) still_wanted();
      std::this_thread::sleep_for(kLook);
      lock_.try_lock();
    }
    if (still_wanted) still_wanted();
    teacher_.began_s_ = monotonic_s();
  }
  ~Turn() { teacher_.began_s_ = 0; }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Teacher& teacher_;
  std::unique_lock<std::mutex> lock_;
};

double Teacher::running_s() const {
  const double began_s = began_s_;
  return began_s == 0 ? 0 : monotonic_s() - began_s;
}

/// Looks at a record first, so that what cannot be learnt is not kept; then keeps it, and learns it.
LessonReport Teacher::keep(const Record& given, const StillWanted& still_wanted) {
  const Waiter waiter(waiting_);
  const Turn turn(*this, still_wanted);
  State& state = *state_;
  Record record = given;
  // Numbers of lessons that were taken back are given again when a server begins anew: what was said tells them apart.
  std::string id = fmt::format("lesson-{}-{}", state.number + 1, hash_text(to_json_line(record)).substr(0, 8));
  std::visit([&](auto& one) { one.id = std::move(id); }, record);
  PreferenceLog& log = std::holds_alternative<Pair>(record) ? state.pairs : state.ratings;
  log.check(record);
  const std::string key = to_json_line(record);
  const double start = monotonic_s();
  State::Looked looked = state.look_at(record, key);
  state.report.evaluation_s = monotonic_s() - start;
  if (still_wanted) still_wanted();
  const std::vector<std::vector<float>> sums{looked.lesson.sums};
  const double label = looked.lesson.label;
  const double before = label * state.learner->outlook(sums).front().mean;
  log.add(record);
  ++state.number;
  state.learn_from(std::move(looked), record, key);
  const LessonReport report = learn(before);
  if (state.number % kSaveEvery == 0) state.kept.save();
  return report;
}

LessonReport Teacher::undo(const std::string& id, const StillWanted& still_wanted) {
  const Waiter waiter(waiting_);
  const Turn turn(*this, still_wanted);
  State& state = *state_;
  if (!id.empty() && std::ranges::find(state.said, id, &State::Said::id) == state.said.end()) {
    throw Error(ErrorCode::BadInput, fmt::format("there is no lesson {}", quoted_text(id)),
                "it may have been taken back already");
  }
  if (state.said.empty()) throw Error(ErrorCode::BadUsage, "nothing has been said yet that could be taken back");
  const State::Said& last = state.said.back();
  if (!id.empty() && id != last.id) {
    throw Error(ErrorCode::Mismatch, fmt::format("lesson {} is not the last one: that is {}", id, last.id),
                "only the last lesson can be taken back");
  }
  (last.is_pair ? state.pairs : state.ratings).remove_last();
  if (last.is_learnt) state.learner->remove_last();
  state.count(last.tokens, -1);
  state.kept.remove(last.key);
  state.said.pop_back();
  return learn();
}

namespace {

/// Prompt and replies of a comparison, whichever of the two is better.
std::array<std::string, 3> comparison_of(const Prompt& prompt, std::string_view one, std::string_view other) {
  const auto [first, second] = std::minmax(one, other);
  Pair pair;
  pair.prompt = prompt;
  return {prompt_key(pair), std::string(first), std::string(second)};
}

}  // namespace

NextPair Teacher::next_pair(std::span<const Choices> choices, const StillWanted& still_wanted) {
  const Waiter waiter(waiting_);
  const Turn turn(*this, still_wanted);
  State& state = *state_;
  std::set<std::array<std::string, 3>> compared;
  for (const Record& record : state.pairs.records()) {
    const Pair& pair = std::get<Pair>(record);
    compared.insert(comparison_of(pair.prompt, pair.chosen, pair.rejected));
  }
  std::vector<NextPair> pairs;
  std::vector<bool> is_new;
  std::vector<std::vector<float>> differences;
  for (std::size_t which = 0; which < choices.size(); ++which) {
    if (still_wanted) still_wanted();
    const std::vector<std::string_view> texts(choices[which].replies.begin(), choices[which].replies.end());
    FeatureCounts counts;
    const Matrix<float> sums = state.sums_of(state.extractor->encode(choices[which].prompt, texts, counts));
    for (std::size_t second = 1; second < sums.rows(); ++second) {
      for (std::size_t first = 0; first < second; ++first) {
        std::vector<float> difference(sums.row(first).begin(), sums.row(first).end());
        for (std::size_t j = 0; j < difference.size(); ++j) difference[j] -= sums(second, j);
        const bool finite = std::ranges::all_of(difference, [](float value) { return std::isfinite(value); });
        const bool empty = std::ranges::all_of(difference, [](float value) { return value == 0; });
        if (!finite || empty || texts[first] == texts[second]) continue;
        pairs.push_back({which, first, second, {}, 0, 0});
        is_new.push_back(!compared.contains(comparison_of(choices[which].prompt, texts[first], texts[second])));
        differences.push_back(std::move(difference));
      }
    }
  }
  if (pairs.empty()) throw Error(ErrorCode::BadInput, "no two replies to the same prompt differ", "draw others");
  const std::vector<Outlook> outlooks = state.learner->outlook(differences);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    pairs[i].outlook = outlooks[i];
    pairs[i].information_bits = information_bits(outlooks[i]);
    pairs[i].considered = pairs.size();
  }
  // What was answered tells little when it is asked again.
  const bool any_new = std::ranges::find(is_new, true) != is_new.end();
  std::size_t best = 0;
  for (std::size_t i = 1; i < pairs.size(); ++i) {
    const bool newer = any_new && is_new[i] != is_new[best];
    if (newer ? is_new[i] : pairs[i].information_bits > pairs[best].information_bits) best = i;
  }
  return pairs[best];
}

ReplyInfluences Teacher::influences(const Prompt& prompt, const std::string& response, const std::string* than,
                                    std::size_t count, const StillWanted& still_wanted) {
  if (than != nullptr && *than == response) {
    throw Error(ErrorCode::BadInput, "the two replies are the same", "compare two that differ");
  }
  const Waiter waiter(waiting_);
  const Turn turn(*this, still_wanted);
  State& state = *state_;
  std::vector<std::string_view> texts{response};
  if (than != nullptr) texts.emplace_back(*than);
  FeatureCounts counts;
  const std::vector<float> sums = state.evaluate(state.extractor->encode(prompt, texts, counts));
  const bool were_cut = counts.truncated_prompts + counts.truncated_responses > 0;
  state.check_sums(sums, were_cut);
  const LessonInfluence found = state.learner->influence(sums);
  ReplyInfluences result{found.log_odds, found.parts.size(), were_cut, {}, {}};
  std::vector<LessonPart> parts;
  const std::vector<const Record*> records = in_order(state.pairs, state.ratings);
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (state.said[i].is_learnt) parts.push_back({*records[i], found.parts[parts.size()]});
  }
  std::ranges::stable_sort(parts, std::greater(), &LessonPart::influence);
  for (const LessonPart& part : parts) {
    if (part.influence > 0 && result.raise.size() < count) result.raise.push_back(part);
  }
  for (const LessonPart& part : std::views::reverse(parts)) {
    if (part.influence < 0 && result.lower.size() < count) result.lower.push_back(part);
  }
  return result;
}

/// Solves the program again; what is written from now on is written with the new head.
LessonReport Teacher::learn(std::optional<double> before) {
  State& state = *state_;
  const double start = monotonic_s();
  const Learned learned = state.learner->learn();
  LessonReport& report = state.report;
  report.pairs = state.pairs.records().size();
  report.last_id = state.said.empty() ? std::string() : state.said.back().id;
  report.ratings = state.ratings.records().size();
  report.accuracy = learned.accuracy;
  report.reliability = learned.reliability;
  report.interval = state.learner->size() > 0 ? clustered_proportion(learned.right, learned.prompts) : Interval{0, 1};
  report.last_log_odds = learned.foreseen.empty() ? 0 : state.learner->last().label * learned.foreseen.back();
  report.last_change.reset();
  if (before) {
    const Lesson& last = state.learner->last();
    report.last_change = Change{*before, last.label * state.learner->outlook(std::span(&last.sums, 1)).front().mean};
  }
  std::shared_ptr<const LogitsProcessor> tilt;
  if (state.learner->size() > 0 || state.prior) {
    if (!state.table) state.table = std::make_shared<const TokenTable>(learned.head.embeddings, *state.output);
    tilt = std::make_shared<const TokenTilt>(learned.head, state.table, 1.0);
    NamedWords words =
        name_words(state.backbone, learned.head, *state.output, mean_state(state.kept.basis()), state.occurrences);
    report.raised = std::move(words.raised);
    report.lowered = std::move(words.lowered);
  } else {
    report.raised.clear();
    report.lowered.clear();
  }
  report.solution_s = monotonic_s() - start;
  const std::lock_guard lock(mutex_);
  report_ = report;
  head_ = state.kept_head;
  head_.metadata["taught.lessons"] = std::to_string(state.learner->size());
  head_.token = learned.head;
  tilt_ = std::move(tilt);
  pairs_text_ = state.pairs.text();
  ratings_text_ = state.ratings.text();
  return report;
}

LessonReport Teacher::report() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

std::shared_ptr<const LogitsProcessor> Teacher::tilt() const {
  const std::lock_guard lock(mutex_);
  return tilt_;
}

Head Teacher::head() const {
  const std::lock_guard lock(mutex_);
  return head_;
}

std::string Teacher::exported(RecordKind kind) const {
  const std::lock_guard lock(mutex_);
  return kind == RecordKind::Pair ? pairs_text_ : ratings_text_;
}

}  // namespace coala
