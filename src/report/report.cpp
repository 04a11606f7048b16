#include "report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --line: #8886; --accent: #2a78d6; --muted: #888; }
@media (prefers-color-scheme: dark) { :root { --accent: #6aaef5; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .25rem .6rem .25rem 0; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr + tr td { border-top: 1px solid var(--line); }
.note { color: var(--muted); } code { overflow-wrap: anywhere; } svg { width: 100%; height: auto; }
@media print { body { margin: 0; max-width: none; } }
)";

std::string escape(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

class Page {
 public:
  void heading(const std::string& text) { fmt::format_to(out(), "<h2>{}</h2>\n", escape(text)); }
  void note(const std::string& text) { fmt::format_to(out(), "<p class=\"note\">{}</p>\n", escape(text)); }
  void raw(const std::string& html) { html_ += html; }
  void start_table() { html_ += "<table>\n"; }
  void end_table() { html_ += "</table>\n"; }
  void row(const std::string& name, const std::string& value, const std::string& interval = "") {
    fmt::format_to(out(), "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>\n",
                   escape(name), escape(value), escape(interval));
  }
  /// A metric with its interval; nothing when the data could not give it.
  void metric(const Json& metrics, const std::string& key, const std::string& name, double factor,
              const std::string& unit) {
    if (!metrics.contains(key)) return;
    std::string interval;
    if (metrics.contains(key + "_ci95")) {
      const Json& bounds = metrics.at(key + "_ci95");
      interval = fmt::format("{:.2f} to {:.2f}", factor * bounds[0].get<double>(), factor * bounds[1].get<double>());
    }
    row(name, fmt::format("{:.2f}{}", factor * metrics.at(key).get<double>(), unit), interval);
  }
  std::string take() { return std::move(html_); }

 private:
  std::back_insert_iterator<std::string> out() { return std::back_inserter(html_); }
  std::string html_;
};

/// Held-out loss against the penalty, one line per model family, as an inline picture.
std::string path_figure(const Json& path) {
  constexpr double kWidth = 640;
  constexpr double kHeight = 240;
  constexpr double kMargin = 44;
  double low = HUGE_VAL;
  double high = -HUGE_VAL;
  for (const Json& point : path) {
    low = std::min(low, point.at("held_out_loss").get<double>());
    high = std::max(high, point.at("held_out_loss").get<double>());
  }
  if (!(high > low)) return "";
  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Held-out loss along the regularisation path\">"
      "<title>Held-out loss along the regularisation path</title>\n",
      kWidth, kHeight);
  const auto out = std::back_inserter(svg);
  fmt::format_to(out,
                 "<text x=\"0\" y=\"14\" font-size=\"12\" fill=\"currentColor\">held-out loss {:.4f} (bottom) to "
                 "{:.4f} (top); penalty falls from left to right</text>\n",
                 low, high);
  for (const char* family : {"linear", "gated"}) {
    std::vector<const Json*> points;
    for (const Json& point : path) {
      if (point.at("model") == family) points.push_back(&point);
    }
    if (points.empty()) continue;
    const bool gated = std::string_view(family) == "gated";
    std::string line;
    double x = 0;
    double y = 0;
    for (std::size_t k = 0; k < points.size(); ++k) {
      const double share = points.size() > 1 ? static_cast<double>(k) / static_cast<double>(points.size() - 1) : 0.5;
      x = kMargin + share * (kWidth - 3 * kMargin);
      y = kMargin + (high - points[k]->at("held_out_loss").get<double>()) / (high - low) * (kHeight - 2 * kMargin);
      line += fmt::format("{:.1f},{:.1f} ", x, y);
    }
    fmt::format_to(out, "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"{}/>\n", line,
                   gated ? "var(--accent)" : "currentColor", gated ? "" : " stroke-dasharray=\"5 4\"");
    fmt::format_to(out, "<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"13\" fill=\"currentColor\">{}</text>\n", x + 8,
                   y + (gated ? -6 : 14), family);
  }
  return svg + "</svg>\n";
}

void accuracy_section(Page& page, const Json& metrics) {
  page.heading("How good is the head?");
  page.note(fmt::format("{} rows that the head has not seen: {}.", metrics.at("eval_rows").get<std::uint64_t>(),
                        metrics.at("evaluation").get<std::string>()));
  page.raw("<table>\n<tr><th></th><th></th><th>95 % interval</th></tr>\n");
  page.metric(metrics, "eval_rewards/accuracies", "pair accuracy (strict)", 100, " %");
  page.metric(metrics, "eval_accuracy", "accuracy", 100, " %");
  page.metric(metrics, "baseline/logistic_accuracy", "logistic regression on the same features", 100, " %");
  page.metric(metrics, "baseline/length_accuracy", "\"the longer answer wins\"", 100, " %");
  page.metric(metrics, "comparison/p_value", "p value, head against logistic regression (exact, paired)", 1, "");
  page.metric(metrics, "eval_rewards/margins", "margin, chosen minus rejected", 1, "");
  page.metric(metrics, "eval_rewards/chosen", "mean reward, chosen", 1, "");
  page.metric(metrics, "eval_rewards/rejected", "mean reward, rejected", 1, "");
  page.metric(metrics, "eval_reward_margin", "reward margin of the paper, in 0 to 1", 1, "");
  page.metric(metrics, "score_length_correlation", "correlation of score and length", 1, "");
  page.end_table();
}

void solver_section(Page& page, const Json& solver) {
  page.heading("What was trained");
  page.start_table();
  page.row("Phase I program, loss",
           fmt::format("{}, {}", solver.at("model_class").get<std::string>(), solver.at("loss").get<std::string>()));
  page.row("selected on held-out prompts", solver.at("selected").get<std::string>());
  page.row("neurons", fmt::format("{}", solver.at("neurons").get<std::uint64_t>()));
  page.row("status", solver.at("status").get<std::string>());
  page.row("objective", fmt::format("{:.6g}", solver.at("objective").get<double>()));
  if (solver.contains("dual_objective")) {
    page.row("certified lower bound", fmt::format("{:.6g}", solver.at("dual_objective").get<double>()));
    page.row("relative duality gap", fmt::format("{:.1e}", solver.at("relative_gap").get<double>()));
  }
  page.end_table();
  page.raw(path_figure(solver.at("path")));
}

void cost_section(Page& page, const Json& metrics) {
  page.heading("What it cost");
  page.start_table();
  if (metrics.contains("extract")) {
    const Json& extract = metrics.at("extract");
    page.row("extraction", fmt::format("{:.1f} s", extract.at("seconds").get<double>()),
             fmt::format("{} tokens, {} evaluated", extract.at("tokens").get<std::uint64_t>(),
                         extract.at("unique_tokens").get<std::uint64_t>()));
  }
  page.row("Phase I, selection included", fmt::format("{:.1f} s", metrics.at("solver").at("seconds").get<double>()),
           fmt::format("{} passes over the features", metrics.at("solver").at("passes_over_x").get<std::uint64_t>()));
  page.row("Phase II", fmt::format("{:.3f} s", metrics.at("phase2").at("seconds").get<double>()),
           fmt::format("gradient norm {:.0e}", metrics.at("phase2").at("gradient_norm").get<double>()));
  for (const auto& [stage, flops] : metrics.at("flops").items()) {
    page.row(stage == "paper_formula" ? "as the paper counts (seconds of training x 231 TFLOP/s)"
                                      : "floating-point operations, " + stage,
             fmt::format("{:.3g}", flops.get<double>()));
  }
  page.row("peak memory", fmt::format("{:.0f} MiB", metrics.at("peak_rss_bytes").get<double>() / 1048576));
  page.end_table();
}

}  // namespace

std::string html_report(const Json& metrics, const std::string& command) {
  Page page;
  page.raw(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>coala report</title>\n<style>");
  page.raw(kStyle);
  page.raw("</style>\n</head>\n<body>\n<h1>Reward head: report</h1>\n");
  if (metrics.contains("data")) {
    page.start_table();
    for (const auto& [name, value] : metrics.at("data").items()) {
      page.row(name, value.is_string() ? value.get<std::string>() : value.dump());
    }
    page.end_table();
  }
  accuracy_section(page, metrics);
  solver_section(page, metrics.at("solver"));
  cost_section(page, metrics);
  page.heading("How to reproduce it");
  page.raw("<p><code>" + escape(command) + "</code></p>\n</body>\n</html>\n");
  return page.take();
}

}  // namespace coala
