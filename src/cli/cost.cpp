#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/check_options.h"
#include "cli/command.h"
#include "core/error.h"
#include "report/method_cost.h"
#ifdef COALA_HAVE_LM
#include "lm/model_work.h"
#endif

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

struct CostCommand {
  CommonOptions common;
  std::vector<double> tokens{100, 200, 200};
  double pairs = 0;
  std::string model;
  bool full = false;
};

/// The user's model, by the tensors of its file.
ModelShape shape_of_file(const std::string& path) {
#ifdef COALA_HAVE_LM
  const ModelWork work = work_of_model(path);
  return {path, work.block_weights, work.output_weights, work.attention_width};
#else
  throw Error(ErrorCode::NotBuilt, path + " is a model, and this build has no language-model part",
              "build with -DCOALA_LM=ON, or leave --model out");
#endif
}

Json cost_json(const ModelShape& shape, const CostCommand& command, double pairs) {
  const PairTokens tokens{command.tokens[0], command.tokens[1], command.tokens[2]};
  const MethodCost cost = method_cost(shape, tokens, command.full ? Tuning::Full : Tuning::Lora);
  const auto tera = [pairs](double flops) { return flops * pairs / 1e12; };
  return {{"coala", tera(cost.coala)},
          {"sft", tera(cost.sft)},
          {"dpo", tera(cost.dpo)},
          {"orpo", tera(cost.orpo)},
          {"coala_of_dpo", cost.coala / cost.dpo}};
}

Json cost_table(const CostCommand& command) {
  Json result{
      {"tokens", {{"prompt", command.tokens[0]}, {"chosen", command.tokens[1]}, {"rejected", command.tokens[2]}}},
      {"tuning", command.full ? "full" : "lora"},
      {"unit", "TFLOP"},
      {"rows", Json::array()}};
  const auto add = [&](const ModelShape& shape, const char* data, double pairs) {
    Json row{{"model", shape.name}, {"data", data}, {"pairs", pairs}, {"counted", cost_json(shape, command, pairs)}};
    const auto published = std::ranges::find_if(kPublishedCosts, [&](const PublishedCost& cost) {
      return shape.name == cost.model && pairs == kPublishedPairs;
    });
    if (published != kPublishedCosts.end()) {
      row["published"] = {{"coala", published->coala},
                          {"sft", published->sft},
                          {"dpo", published->dpo},
                          {"orpo", published->orpo},
                          {"coala_of_dpo", published->coala / published->dpo},
                          // What its formula, seconds times 231 TFLOP/s, says of the time.
                          {"coala_seconds", published->coala * 1e12 / kPublishedFlopsPerSecond}};
      const PairTokens one{0, 1, 0};
      const double each = method_cost(shape, one, command.full ? Tuning::Full : Tuning::Lora).dpo;
      row["published"]["dpo_tokens_per_pair"] = published->dpo * 1e12 / kPublishedPairs / each;
    }
    result["rows"].push_back(std::move(row));
  };
  if (!command.model.empty()) {
    if (!(command.pairs > 0)) {
      throw Error(ErrorCode::BadUsage, "it is not said how many pairs there are", "give their number with --pairs");
    }
    add(shape_of_file(command.model), "yours", command.pairs);
    return result;
  }
  for (const PublishedData& data : kPublishedData) {
    for (const ModelShape& shape : paper_backbones()) add(shape, data.name, data.pairs);
  }
  return result;
}

std::string cost_text(const Json& table) {
  std::string text;
  const Json& tokens = table.at("tokens");
  text += fmt::format(
      "TFLOP of one epoch, counted from the work: {:g} tokens of prompt, {:g} and {:g} of answers, {} tuning\n",
      tokens.at("prompt").get<double>(), tokens.at("chosen").get<double>(), tokens.at("rejected").get<double>(),
      table.at("tuning").get<std::string>());
  text += fmt::format("{:<14} {:<12} {:>10} {:>10} {:>10} {:>10} {:>9}\n", "data", "model", "coala", "SFT", "DPO",
                      "ORPO", "coala/DPO");
  const auto line = [&](const std::string& data, const std::string& model, const Json& cost) {
    text += fmt::format("{:<14} {:<12} {:10.4g} {:10.4g} {:10.4g} {:10.4g} {:8.1f} %\n", data, model,
                        cost.at("coala").get<double>(), cost.at("sft").get<double>(), cost.at("dpo").get<double>(),
                        cost.at("orpo").get<double>(), 100 * cost.at("coala_of_dpo").get<double>());
  };
  bool published = false;
  for (const Json& row : table.at("rows")) {
    line(row.at("data").get<std::string>(), row.at("model").get<std::string>(), row.at("counted"));
    if (!row.contains("published")) continue;
    published = true;
    line("  published", "", row.at("published"));
    text += fmt::format("{:<14} its coala: {:.1f} s at 231 TFLOP/s; its DPO: {:.1f} tokens a pair\n", "",
                        row.at("published").at("coala_seconds").get<double>(),
                        row.at("published").at("dpo_tokens_per_pair").get<double>());
  }
  if (published) {
    text +=
        "published: arXiv 2605.23244, not measured here. Its COALA is seconds of training times a card's peak, without "
        "extraction; the last figure is what its DPO would pay for by the count above.\n";
  }
  return text;
}

void run_cost(const CostCommand& command) {
  const Json table = cost_table(command);
  if (command.common.json) {
    print_json(table);
  } else {
    print_out("{}", cost_text(table));
  }
}

}  // namespace

void add_cost_command(CLI::App& app) {
  auto options = std::make_shared<CostCommand>();
  CLI::App& command = *app.add_subcommand(
      "cost", "floating-point operations of coala, SFT, DPO and ORPO, of the paper's models and data or of yours");
  command
      .add_option("--tokens", options->tokens, "mean tokens of prompt, chosen and rejected answer, separated by commas")
      ->delimiter(',')
      ->expected(3)
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--model", options->model, "your model (GGUF)")->type_name(kInput);
  command.add_option("--pairs", options->pairs, "with --model: how many preferences there are")
      ->check(CLI::PositiveNumber);
  command.add_flag("--full", options->full, "SFT, DPO and ORPO train all weights rather than a LoRA adapter");
  add_common_options(command, options->common);
  command.callback([options] { run_cost(*options); });
}

}  // namespace coala
