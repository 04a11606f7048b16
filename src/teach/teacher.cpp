#include "teach/teacher.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/error.h"
#include "core/progress.h"
#include "core/resources.h"
#include "data/writer.h"
#include "decode/named_words.h"
#include "decode/token_tilt.h"
#include "head/token_weights.h"
#include "linalg/blas.h"
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

/// The number in "lesson-12"; 0 for another id.
std::size_t number_of(const Record& record) {
  const std::string& id = std::visit([](const auto& one) -> const std::string& { return one.id; }, record);
  constexpr std::string_view kStart = "lesson-";
  return id.starts_with(kStart) ? std::strtoull(id.c_str() + kStart.size(), nullptr, 10) : 0;
}

}  // namespace

struct Teacher::State {
  const Backbone& backbone;
  std::shared_ptr<const OutputMatrix> output;
  TeacherOptions options;
  std::optional<TokenHead> prior;
  PreferenceLog pairs;
  PreferenceLog ratings;
  LessonStore kept;
  std::shared_ptr<const TokenProjection> projection;
  std::optional<FeatureExtractor> extractor;
  std::optional<TokenLearner> learner;
  std::vector<const char*> order;  ///< of what was learnt: which log it is in
  Learned learned;
  std::shared_ptr<const TokenTable> table;
  std::map<Token, std::size_t> occurrences;  ///< of the lessons' tokens
  std::size_t number = 0;                    ///< of the last lesson
  LessonReport report;

  State(const Backbone& model, std::shared_ptr<const OutputMatrix> matrix, const TeacherOptions& wanted)
      : backbone(model),
        output(std::move(matrix)),
        options(wanted),
        pairs(wanted.pairs, RecordKind::Pair),
        ratings(beside(wanted.pairs, "-ratings"), RecordKind::Labelled),
        kept(std::filesystem::path(wanted.pairs) += ".lessons") {
    if (wanted.prior != nullptr) prior = *wanted.prior;
    options.prior = nullptr;
  }

  std::vector<float> evaluate(std::span<const EncodedResponse> encoded);
  Lesson lesson_of(const Record& record, const std::string& key);
};

/// TokenSums of one reply, or of the first less those of the second.
std::vector<float> Teacher::State::evaluate(std::span<const EncodedResponse> encoded) {
  std::vector<const EncodedResponse*> responses;
  for (const EncodedResponse& response : encoded) responses.push_back(&response);
  const Matrix<float> features = extractor->pool(responses);
  const std::size_t first = extractor->pooled_dimension();
  std::vector<float> sums(features.row(0).begin() + static_cast<std::ptrdiff_t>(first), features.row(0).end());
  for (std::size_t other = 1; other < features.rows(); ++other) {
    for (std::size_t j = 0; j < sums.size(); ++j) sums[j] -= features(other, first + j);
  }
  return sums;
}

/// By the numbers that are kept of it, or by an evaluation.
/// @param key  of the record in the store
Lesson Teacher::State::lesson_of(const Record& record, const std::string& key) {
  std::vector<std::string_view> texts;
  Lesson lesson;
  if (const Pair* pair = std::get_if<Pair>(&record)) {
    texts = {pair->chosen, pair->rejected};
  } else {
    texts = {std::get<Labelled>(record).response};
    lesson.label = std::get<Labelled>(record).label;
  }
  const Prompt& prompt = prompt_of(record);
  lesson.prompt = prompt.key();
  FeatureCounts counts;
  const std::vector<EncodedResponse> encoded = extractor->encode(prompt, texts, counts);
  const std::vector<float>* sums = kept.find(key);
  lesson.sums = sums != nullptr ? *sums : evaluate(encoded);
  for (const EncodedResponse& response : encoded) {
    for (std::size_t i = response.prompt_tokens; i < response.tokens.size(); ++i) ++occurrences[response.tokens[i]];
  }
  return lesson;
}

Teacher::Teacher(const Backbone& backbone, std::shared_ptr<const OutputMatrix> output, const TeacherOptions& options)
    : state_(std::make_unique<State>(backbone, std::move(output), options)) {
  State& state = *state_;
  const TokenHead* const prior = state.prior ? &*state.prior : nullptr;
  const FeatureSettings& features = options.features;
  const std::string made_for = fmt::format(
      "{} {} {} {} {} {} {}", backbone.identity().hash, backbone.identity().adapter_hash,
      backbone.identity().adapter_scale, backbone.identity().template_hash, template_mode_name(features.template_mode),
      features.max_length_tokens, prior != nullptr ? hash_of(*prior) : fmt::format("rank {}", options.rank));
  if (!state.kept.open(made_for)) {
    Calibration own =
        calibrate(backbone, state.output, prior, options.rank, features.template_mode, options.seed, options.threads);
    state.kept.begin(made_for, std::move(own.basis), own.entropy);
  }
  const TokenBasis& basis = state.kept.basis();
  state.projection =
      std::make_shared<const TokenProjection>(state.output, basis, token_share(backbone.identity(), basis.rank()));
  state.extractor.emplace(backbone, features, options.threads, state.projection);
  const double budget = kGuidanceBudget * state.kept.entropy();
  state.learner.emplace(basis, prior, std::sqrt(2 * kAim * budget));
  std::vector<const Record*> records;
  for (const PreferenceLog* log : {&state.pairs, &state.ratings}) {
    for (const Record& record : log->records()) records.push_back(&record);
  }
  std::ranges::stable_sort(records, {}, [](const Record* record) { return number_of(*record); });
  Progress progress("lessons", records.size(), "lessons");
  for (const Record* record : records) {
    const std::string key = to_json_line(*record);
    Lesson lesson = state.lesson_of(*record, key);
    state.kept.add(key, lesson.sums);
    state.learner->add(std::move(lesson));
    state.number = std::max(state.number, number_of(*record));
    progress.advance(1);
  }
  learn();
  state.kept.save();
}

Teacher::~Teacher() = default;

void Teacher::prefer(const Prompt& prompt, const std::string& chosen, const std::string& rejected) {
  if (chosen == rejected) throw Error(ErrorCode::BadInput, "the two replies are the same", "show two that differ");
  Pair pair;
  pair.prompt = prompt;
  pair.chosen = chosen;
  pair.rejected = rejected;
  keep(pair);
}

void Teacher::rate(const Prompt& prompt, const std::string& response, bool liked) {
  Labelled rated;
  rated.prompt = prompt;
  rated.response = response;
  rated.label = liked ? 1 : -1;
  keep(rated);
}

/// Evaluates a record, so that what cannot be learnt is not kept, keeps it, and learns it.
void Teacher::keep(const Record& given) {
  const std::lock_guard lock(work_);
  State& state = *state_;
  Record record = given;
  std::visit([&](auto& one) { one.id = fmt::format("lesson-{}", state.number + 1); }, record);
  const std::string key = to_json_line(record);
  const double start = monotonic_s();
  Lesson lesson = state.lesson_of(record, key);
  state.report.evaluation_s = monotonic_s() - start;
  (std::holds_alternative<Pair>(record) ? state.pairs : state.ratings).add(record);
  ++state.number;
  state.kept.add(key, lesson.sums);
  state.learner->add(std::move(lesson));
  learn();
  state.kept.save();
}

void Teacher::undo() {
  const std::lock_guard lock(work_);
  State& state = *state_;
  const auto last = [](const PreferenceLog& log) {
    return log.records().empty() ? std::nullopt : std::optional(number_of(log.records().back()));
  };
  if (state.learner->size() == 0)
    throw Error(ErrorCode::BadUsage, "nothing has been said yet that could be taken back");
  (last(state.pairs) > last(state.ratings) ? state.pairs : state.ratings).remove_last();
  state.learner->remove_last();
  learn();
}

/// Solves the program again; what is written from now on is written with the new head.
void Teacher::learn() {
  State& state = *state_;
  const double start = monotonic_s();
  state.learned = state.learner->learn();
  LessonReport& report = state.report;
  report.solution_s = monotonic_s() - start;
  report.pairs = state.pairs.records().size();
  report.ratings = state.ratings.records().size();
  report.accuracy = state.learned.accuracy;
  report.reliability = state.learned.reliability;
  const auto count = static_cast<double>(state.learned.lessons);
  report.interval = count > 0 ? wilson_interval(report.accuracy * count, count) : Interval{0, 1};
  report.last_log_odds =
      state.learned.foreseen.empty() ? 0 : state.learner->last().label * state.learned.foreseen.back();
  std::shared_ptr<const LogitTilt> tilt;
  if (state.learner->size() > 0 || state.prior) {
    if (!state.table) state.table = std::make_shared<const TokenTable>(state.learned.head.embeddings, *state.output);
    tilt = std::make_shared<const TokenTilt>(state.learned.head, state.table, 1.0);
    NamedWords words = name_words(state.backbone, state.learned.head, *state.output, mean_state(state.kept.basis()),
                                  state.occurrences);
    report.raised = std::move(words.raised);
    report.lowered = std::move(words.lowered);
  }
  const std::lock_guard lock(mutex_);
  report_ = report;
  head_ = state.learned.head;
  tilt_ = std::move(tilt);
}

LessonReport Teacher::report() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

std::shared_ptr<const LogitTilt> Teacher::tilt() const {
  const std::lock_guard lock(mutex_);
  return tilt_;
}

TokenHead Teacher::head() const {
  const std::lock_guard lock(mutex_);
  return head_;
}

std::string Teacher::exported(RecordKind kind) {
  const std::lock_guard lock(work_);
  std::string lines;
  const PreferenceLog& log = kind == RecordKind::Pair ? state_->pairs : state_->ratings;
  for (const Record& record : log.records()) lines += to_json_line(record) + "\n";
  return lines;
}

}  // namespace coala
