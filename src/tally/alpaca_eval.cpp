#include "tally/alpaca_eval.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/utf8.h"
#include "tally/csv.h"

namespace coala {
namespace {

struct Rows {
  LengthControlInput input;
  std::vector<std::string> instructions;
  bool lengths = true;
};

double preference_of(const Annotation& annotation) {
  const auto value = annotation.object.find("preference");
  if (value == annotation.object.end()) fail_at(annotation, "there is no \"preference\"");
  if (value->is_null()) return std::numeric_limits<double>::quiet_NaN();
  const double preference = number_of(annotation, "preference");
  if (preference == 0) return 0.5;
  if (!(preference >= 1 && preference <= 2)) {
    fail_at(annotation, fmt::format("the preference is {}, expected is 1 to 2, or 0 for a tie", preference));
  }
  return preference - 1;
}

std::optional<double> length_of(const Annotation& annotation, const char* length, const char* output) {
  if (annotation.object.contains(length)) return number_of(annotation, length);
  if (annotation.object.contains(output)) return static_cast<double>(count_characters(text_of(annotation, output)));
  return std::nullopt;
}

void add(const Annotation& annotation, Rows& rows) {
  rows.instructions.push_back(text_of(annotation, "instruction"));
  rows.input.preference.push_back(preference_of(annotation));
  const std::optional<double> base = length_of(annotation, "len_baseline", "output_1");
  const std::optional<double> model = length_of(annotation, "len_model", "output_2");
  rows.lengths = rows.lengths && base && model;
  rows.input.base_length.push_back(base.value_or(0));
  rows.input.model_length.push_back(model.value_or(0));
}

void add_background(const std::string& model, const AlpacaEvalBackground& background, Rows& rows) {
  if (!background.has_difficulties()) return;
  for (std::size_t i = 0; i < rows.instructions.size(); ++i) {
    if (background.difficulty.empty()) {
      if (rows.instructions.size() != background.difficulty_by_row.size()) {
        throw Error(ErrorCode::Mismatch,
                    fmt::format("{} has {} rows, and there are {} difficulties without instructions", model,
                                rows.instructions.size(), background.difficulty_by_row.size()),
                    "give difficulties with a column instruction");
      }
      rows.input.difficulty.push_back(background.difficulty_by_row[i]);
      continue;
    }
    const auto found = background.difficulty.find(rows.instructions[i]);
    if (found == background.difficulty.end()) {
      throw Error(ErrorCode::Mismatch,
                  fmt::format("nothing is known of the difficulty of {}, which {} answers",
                              quoted_text(rows.instructions[i]), model),
                  "the file of difficulties is of other instructions");
    }
    rows.input.difficulty.push_back(found->second);
  }
  rows.input.gamed = background.gamed;
}

AlpacaEvalScore score_of(const std::string& model, Rows& rows, const AlpacaEvalBackground& background,
                         std::uint64_t seed) {
  AlpacaEvalScore score;
  score.model = model;
  score.rows = rows.instructions.size();
  rows.input.prompts = numbered(rows.instructions);
  std::vector<double> judged;
  std::vector<std::int64_t> prompts;
  for (std::size_t i = 0; i < score.rows; ++i) {
    if (std::isnan(rows.input.preference[i])) continue;
    judged.push_back(rows.input.preference[i]);
    prompts.push_back(rows.input.prompts[i]);
  }
  if (judged.empty()) throw Error(ErrorCode::BadInput, fmt::format("no preference of {} is known", model));
  score.without_preference = score.rows - judged.size();
  score.wins = win_rates(judged, prompts);
  if (!rows.lengths) {
    score.why_not_controlled = "the annotations have no lengths";
    return score;
  }
  for (const double length : rows.input.model_length) score.mean_length += length / static_cast<double>(score.rows);
  add_background(model, background, rows);
  score.why_not_controlled = why_no_length_control(rows.input);
  if (score.why_not_controlled.empty()) score.controlled = length_controlled_rate(rows.input, seed);
  return score;
}

std::string model_of(const Annotation& annotation) {
  for (const char* column : {"generator_2", "model"}) {
    if (annotation.object.contains(column)) return text_of(annotation, column);
  }
  return "model";
}

}  // namespace

AlpacaEvalBackground read_background(const std::filesystem::path& difficulties, const std::filesystem::path& gamed,
                                     const std::filesystem::path& gamed_sums) {
  AlpacaEvalBackground background;
  if (difficulties.empty()) {
    if (gamed.empty() && gamed_sums.empty()) return background;
    throw Error(ErrorCode::BadUsage, "the gamed baseline's rows have difficulties, the model's have none",
                "give the instructions' difficulties too (--instruction-difficulty)");
  }
  const CsvTable table(difficulties);
  const std::size_t difficulty = table.required("instruction_difficulty");
  const std::optional<std::size_t> instruction = table.column("instruction");
  for (std::size_t row = 0; row < table.rows(); ++row) {
    background.difficulty_by_row.push_back(table.number(row, difficulty));
    if (instruction) background.difficulty[table.text(row, *instruction)] = background.difficulty_by_row.back();
  }
  if (gamed.empty()) {
    if (gamed_sums.empty()) return background;
    throw Error(ErrorCode::BadUsage, "sums over the gamed baseline's rows need these rows",
                "name their features (--gamed-baseline)");
  }
  const CsvTable rows(gamed);
  const std::size_t gamed_difficulty = rows.required("instruction_difficulty");
  const std::optional<std::size_t> squashed = rows.column("tanh_std_delta_len");
  const std::size_t length = squashed ? *squashed : rows.required("std_delta_len");
  const std::optional<std::size_t> preference = rows.column("preference");
  if (preference.has_value() == !gamed_sums.empty()) {
    throw Error(ErrorCode::BadUsage, "the gamed baseline's preferences are either a column or known by their sums",
                preference ? "leave --gamed-sums out" : "name the sums (--gamed-sums)");
  }
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    const double value = rows.number(row, length);
    background.gamed.tanh_length.push_back(squashed ? value : std::tanh(value));
    background.gamed.difficulty.push_back(rows.number(row, gamed_difficulty));
    if (preference) background.gamed.preference.push_back(rows.number(row, *preference));
  }
  if (!preference) {
    const Annotation sums{nlohmann::json::parse(read_file(gamed_sums), nullptr, /*allow_exceptions=*/false),
                          gamed_sums.string()};
    if (!sums.object.is_object()) fail_at(sums, "is no JSON object");
    set_preferences(background.gamed, number_of(sums, "S_tanh_std_delta_len"),
                    number_of(sums, "S_instruction_difficulty"));
  }
  return background;
}

std::vector<AlpacaEvalScore> alpaca_eval_scores(std::span<const Annotation> annotations,
                                                const AlpacaEvalBackground& background, std::uint64_t seed) {
  std::vector<std::string> models;
  std::map<std::string, Rows> rows;
  for (const Annotation& annotation : annotations) {
    const std::string model = model_of(annotation);
    if (!rows.contains(model)) models.push_back(model);
    add(annotation, rows[model]);
  }
  std::vector<AlpacaEvalScore> scores;
  for (const std::string& model : models) scores.push_back(score_of(model, rows[model], background, seed));
  return scores;
}

}  // namespace coala
