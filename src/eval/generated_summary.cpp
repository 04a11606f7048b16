#include "eval/generated_summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "core/shortened.h"

namespace coala {
namespace {

/// The beginning of a reply, its line breaks as spaces.
std::string on_one_line(std::string text) {
  constexpr std::size_t kShown_bytes = 160;
  std::ranges::replace(text, '\n', ' ');
  return shortened(text, kShown_bytes);
}

}  // namespace

std::string generated_summary(const GeneratedMetrics& result) {
  std::string text = fmt::format("{} prompts, judged by {} (not by the guiding head)\n", result.prompts, result.judge);
  text += fmt::format("  {:<16} {:>8}  {:<22} {:<22} {:>10}  {:>8}  {:>6}  {:>7}\n", "", "judge", "wins over unguided",
                      "at equal lengths", "perplexity", "distinct", "repeat", "outside");
  const auto rate = [](const Estimate& share) {
    const std::string value = fmt::format("{:.1f} %", 100 * share.value);
    if (!share.ci95.is_known()) return value;
    return fmt::format("{} [{:.1f}, {:.1f}]", value, 100 * share.ci95.low, 100 * share.ci95.high);
  };
  const auto line = [&](const std::string& name, const WrittenMetrics& written) {
    text += fmt::format("  {:<16} {:8.3f}  {:<22} {:<22} {:10.3f}  {:8.3f}  {:6.3f}  {:5.0f} %\n", name,
                        written.judge_mean, written.wins ? rate(written.wins->rate) : "",
                        written.wins ? rate(written.wins->length_controlled) : "", written.perplexity,
                        written.distinct_2, written.repetition, 100 * written.outside);
  };
  const auto name_of_run = [](const GuidedRun& run) {
    return run.scale ? fmt::format("{} {:g}", run.guidance, *run.scale) : run.guidance;
  };
  line("unguided", result.unguided);
  for (const GuidedRun& run : result.runs) line(name_of_run(run), run.written);
  text +=
      "outside: replies beyond what the model can write (moved too far, too surprising to it, or repeating itself); "
      "they lose, whatever the judge says\n";
  const auto show = [&](const std::string& name, const ShownReply& reply) {
    text += fmt::format("  {:<16} {}\n", name, on_one_line(reply.text));
  };
  for (std::size_t i = 0; i < result.unguided.shown.size(); ++i) {
    text += fmt::format("replies to record {}\n", result.unguided.shown[i].id);
    show("unguided", result.unguided.shown[i]);
    for (const GuidedRun& run : result.runs) show(name_of_run(run), run.written.shown[i]);
  }
  return text;
}

}  // namespace coala
