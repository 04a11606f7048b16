#include "head/influence.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <ranges>
#include <string>
#include <vector>

#include "align/examples.h"
#include "cli/command.h"
#include "cli/model_features.h"
#include "core/error.h"
#include "core/progress.h"
#include "core/shortened.h"
#include "eval/evaluated_rows.h"
#include "extract/encoded_record.h"
#include "terminal/path_kinds.h"
#include "train/training_run.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

struct InfluenceCommand {
  CommonOptions common;
  ModelInput input;  ///< its data: what the features were made of
  std::string head;
  std::string features;
  std::optional<std::string> prompt;
  std::vector<std::string> responses;
  std::size_t count = 5;
};

/// Features of the answers of the command line, [answers, d].
Matrix<float> features_of(const InfluenceCommand& command, const Head& head) {
  const Backbone backbone(command.input.model.file());
  const FeatureSettings settings =
      check_model(head, command.head, backbone, command.input.model, command.input.allow_unbound);
  show_warnings(backbone, settings.template_mode);
  FeatureExtractor extractor(backbone, settings, chosen_threads(command.common));
  std::vector<EncodedRecord> records;
  std::vector<const EncodedResponse*> responses;
  for (const Labelled& answer : given_answers(command.prompt, command.responses)) {
    records.push_back(encode_record(extractor, answer));
  }
  for (const EncodedRecord& record : records) responses.push_back(&record.responses.front());
  return extractor.pool_apart(responses);
}

/// A training row as it is shown; with its texts where they are at hand.
Json row_json(std::size_t record, double influence, const RecordStore* data) {
  Json json{{"record", record + 1}, {"influence", influence}};
  if (data == nullptr) return json;
  const Record text = data->record(record);
  if (const Pair* pair = std::get_if<Pair>(&text)) {
    json["id"] = pair->id;
    json["prompt"] = text_of(pair->prompt);
    json["chosen"] = pair->chosen;
    json["rejected"] = pair->rejected;
  } else {
    const Labelled& labelled = std::get<Labelled>(text);
    json["id"] = labelled.id;
    json["prompt"] = text_of(labelled.prompt);
    json["response"] = labelled.response;
    json["label"] = labelled.label;
  }
  return json;
}

void print_rows(const char* title, const Json& rows) {
  constexpr std::size_t kShown = 90;  // bytes of a text
  print_out("{}\n", title);
  if (rows.empty()) print_out("  none\n");
  for (const Json& row : rows) {
    print_out("  {:+.4f}  record {}\n", row["influence"].get<double>(), row["record"].get<std::size_t>());
    for (const char* part : {"prompt", "chosen", "rejected", "response"}) {
      if (!row.contains(part)) continue;
      std::string text = row[part].get<std::string>();
      std::ranges::replace(text, '\n', ' ');
      print_out("           {:<9} {}\n", part, shortened(text, kShown));
    }
  }
}

void run_influence(const InfluenceCommand& command) {
  set_quiet(command.common.quiet);
  if (command.responses.size() > 2) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("--response is given {} times; one asks for what made its score, two for what made the "
                            "difference",
                            command.responses.size()));
  }
  const Head head = load_head(command.head);
  const FeatureSet set = load_features(command.features);
  check_head_matches(head, command.head, set.dimension(), set.metadata, set.path, command.input.allow_unbound);
  std::shared_ptr<const RecordStore> data;
  std::vector<std::size_t> records = record_numbers(set);
  if (!command.input.data.names.empty()) {
    data = read_records(command.input.data, /*unjudged=*/false);
    const std::vector<std::size_t> of_whole = records_of_rows(set, *data);
    for (std::size_t& record : records) record = of_whole[record];
  }
  const Matrix<float> answers = features_of(command, head);

  ThreadPool pool(chosen_threads(command.common));
  const TrainedRows trained = rows_trained_on(head, set);
  const Influence influence(head, trained.set, pool);
  std::vector<double> parts = influence.on_score(answers.row(0));
  double score = head.score(answers.row(0));
  if (answers.rows() == 2) {
    const std::vector<double> other = influence.on_score(answers.row(1));
    for (std::size_t i = 0; i < parts.size(); ++i) parts[i] -= other[i];
    score -= head.score(answers.row(1));
  }

  std::vector<std::size_t> order(parts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater(), [&](std::size_t i) { return parts[i]; });
  const auto listed = [&](const auto& from, bool raises) {
    Json rows = Json::array();
    for (const std::size_t i : from) {
      if (rows.size() == command.count || (raises ? parts[i] <= 0 : parts[i] >= 0)) break;
      rows.push_back(row_json(records[trained.rows[i]], parts[i], data.get()));
    }
    return rows;
  };
  const Json raise = listed(order, true);
  const Json lower = listed(std::views::reverse(order), false);
  const char* asked = answers.rows() == 2 ? "difference" : "score";
  if (command.common.json) {
    print_json({{asked, score}, {"rows", parts.size()}, {"raise", raise}, {"lower", lower}});
    return;
  }
  print_out("{}: {:+.4f}, by {} training rows; less this much without one of them\n", asked, score, parts.size());
  print_rows("raise it:", raise);
  print_rows("lower it:", lower);
  if (!data) print_out("with --data, the preferences that the features were made of, their texts are shown\n");
}

}  // namespace

void add_influence_command(CLI::App& app) {
  auto options = std::make_shared<InfluenceCommand>();
  CLI::App& command = *app.add_subcommand("influence", "which preferences made a score, or the difference of two");
  command.add_option("--head", options->head, "head file")->type_name(kInput)->required();
  command.add_option("--features", options->features, "the feature file that the head was trained on")
      ->type_name(kInput)
      ->required();
  command.add_option("-p,--prompt", options->prompt, "what the user says");
  command.add_option("--response", options->responses, "an answer to it; given twice: why the first, not the second")
      ->required();
  command.add_option("--count", options->count, "rows that are shown of each kind")->check(CLI::Range(1, 1000000));
  add_model_input_options(command, options->input, /*model_required=*/true, /*data_required=*/false);
  add_common_options(command, options->common);
  command.callback([options] { run_influence(*options); });
}

}  // namespace coala
