#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "core/error.h"
#include "report/cost_table.h"
#include "terminal/path_kinds.h"
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

Json table_of(const CostCommand& command) {
  const PairTokens tokens{command.tokens[0], command.tokens[1], command.tokens[2]};
  const CostSettings settings{tokens, command.full ? Tuning::Full : Tuning::Lora, command.pairs};
  if (command.model.empty()) return cost_table(settings);
  if (!(command.pairs > 0)) {
    throw Error(ErrorCode::BadUsage, "it is not said how many pairs there are", "give their number with --pairs");
  }
  return cost_table(settings, shape_of_file(command.model));
}

void run_cost(const CostCommand& command) {
  const Json table = table_of(command);
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
