#include "report/cost_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

Json cost_json(const ModelShape& shape, const CostSettings& settings, double pairs) {
  const MethodCost cost = method_cost(shape, settings.tokens, settings.tuning);
  const auto tera = [pairs](double flops) { return flops * pairs / 1e12; };
  return {{"coala", tera(cost.coala)},
          {"sft", tera(cost.sft)},
          {"dpo", tera(cost.dpo)},
          {"orpo", tera(cost.orpo)},
          {"coala_of_dpo", cost.coala / cost.dpo}};
}

Json table_without_rows(const CostSettings& settings) {
  const PairTokens& tokens = settings.tokens;
  return {{"tokens", {{"prompt", tokens.prompt}, {"chosen", tokens.chosen}, {"rejected", tokens.rejected}}},
          {"tuning", settings.tuning == Tuning::Full ? "full" : "lora"},
          {"unit", "TFLOP"},
          {"rows", Json::array()}};
}

/// A row, with what is published of the model on data of this size.
Json cost_row(const ModelShape& shape, const char* data, double pairs, const CostSettings& settings) {
  Json row{{"model", shape.name}, {"data", data}, {"pairs", pairs}, {"counted", cost_json(shape, settings, pairs)}};
  const auto published = std::ranges::find_if(
      kPublishedCosts, [&](const PublishedCost& cost) { return shape.name == cost.model && pairs == kPublishedPairs; });
  if (published != kPublishedCosts.end()) {
    row["published"] = {{"coala", published->coala},
                        {"sft", published->sft},
                        {"dpo", published->dpo},
                        {"orpo", published->orpo},
                        {"coala_of_dpo", published->coala / published->dpo},
                        // What its formula, seconds times 231 TFLOP/s, says of the time.
                        {"coala_seconds", published->coala * 1e12 / kPublishedFlopsPerSecond}};
    const PairTokens one{0, 1, 0};
    const double each = method_cost(shape, one, settings.tuning).dpo;
    row["published"]["dpo_tokens_per_pair"] = published->dpo * 1e12 / kPublishedPairs / each;
  }
  return row;
}

}  // namespace

Json cost_table(const CostSettings& settings) {
  Json table = table_without_rows(settings);
  for (const PublishedData& data : kPublishedData) {
    for (const ModelShape& shape : paper_backbones()) {
      table["rows"].push_back(cost_row(shape, data.name, data.pairs, settings));
    }
  }
  return table;
}

Json cost_table(const CostSettings& settings, const ModelShape& shape) {
  Json table = table_without_rows(settings);
  table["rows"].push_back(cost_row(shape, "yours", settings.pairs, settings));
  return table;
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

}  // namespace coala
