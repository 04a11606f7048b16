#include "data/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "core/error.h"
#include "core/hash.h"
#include "core/utf8.h"
#include "data/data_files.h"
#include "data/split.h"
#include "data/writer.h"

namespace coala {
namespace {

void check_options(const PrepareOptions& options) {
  if (options.eval_out.empty()) return;
  if (!(options.eval_fraction > 0 && options.eval_fraction < 1)) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("the held-out fraction is {}; expected more than 0 and less than 1", options.eval_fraction),
                "0.1 holds out a tenth of the prompts");
  }
  if (std::filesystem::weakly_canonical(options.eval_out) == std::filesystem::weakly_canonical(options.out)) {
    throw Error(ErrorCode::BadUsage, fmt::format("both outputs are called {}", options.out.string()),
                "give the held-out part a name of its own");
  }
}

std::uint64_t prompt_characters(const Prompt& prompt) {
  std::uint64_t characters = count_characters(prompt.text);
  for (const Message& message : prompt.messages) characters += count_characters(message.content);
  return characters;
}

/// Hash of what makes two records the same: everything but the id and the strength. A pair and the same the other way
/// round differ in the lowest bit alone.
/// @param prompt  hash of its prompt
std::uint64_t content_hash(const Pair& pair, std::uint64_t prompt) {
  const bool in_order = pair.chosen < pair.rejected;
  const std::string& first = in_order ? pair.chosen : pair.rejected;
  const std::string& second = in_order ? pair.rejected : pair.chosen;
  return (hash64(second, hash64(first, prompt)) & ~std::uint64_t{1}) | (in_order ? 1 : 0);
}

std::uint64_t content_hash(const Labelled& labelled, std::uint64_t prompt) {
  return hash64(labelled.response, prompt + static_cast<std::uint64_t>(labelled.label + 1));
}

/// Pairs that others hold the other way round. @param sorted  hashes, ascending
std::uint64_t count_contradicted(const std::vector<std::uint64_t>& sorted) {
  std::uint64_t contradicted = 0;
  for (auto begin = sorted.begin(); begin != sorted.end();) {
    const auto end = std::find_if(begin, sorted.end(), [&](std::uint64_t hash) { return (hash ^ *begin) > 1; });
    if (*begin != *(end - 1)) contradicted += static_cast<std::uint64_t>(end - begin);
    begin = end;
  }
  return contradicted;
}

/// Sorts the hashes, and says how many occurred before.
std::uint64_t count_repeats(std::vector<std::uint64_t>& hashes) {
  std::sort(hashes.begin(), hashes.end());
  std::uint64_t repeats = 0;
  for (std::size_t i = 1; i < hashes.size(); ++i) repeats += hashes[i] == hashes[i - 1] ? 1 : 0;
  return repeats;
}

void describe(const Pair& pair, PrepareReport& report) {
  const std::uint64_t chosen = count_characters(pair.chosen);
  const std::uint64_t rejected = count_characters(pair.rejected);
  report.prompt.add(prompt_characters(pair.prompt));
  report.chosen.add(chosen);
  report.rejected.add(rejected);
  if (chosen > rejected) ++report.chosen_longer;
  if (chosen == rejected) ++report.equally_long;
}

void describe(const Labelled& labelled, PrepareReport& report) {
  report.prompt.add(prompt_characters(labelled.prompt));
  report.response.add(count_characters(labelled.response));
  if (labelled.label > 0) ++report.positive;
}

}  // namespace

PrepareReport prepare(const PrepareOptions& options) {
  check_options(options);
  RecordReader reader(options.data);
  RecordWriter out(options.out);
  std::optional<RecordWriter> eval_out;
  if (!options.eval_out.empty()) eval_out.emplace(options.eval_out);

  PrepareReport report;
  report.kind = reader.kind();
  std::vector<std::uint64_t> records;
  std::vector<std::uint64_t> prompts;
  for (Record record; reader.next(record);) {
    const std::string key = split_key(record);
    const std::string prompt = prompt_key(record);
    const std::uint64_t prompt_hash = hash64(prompt);
    if (prompt.empty()) {
      ++report.without_prompt;
    } else {
      prompts.push_back(prompt_hash);
    }
    std::visit(
        [&](const auto& held) {
          records.push_back(content_hash(held, prompt_hash));
          describe(held, report);
        },
        record);
    const bool held_out = eval_out && in_held_out(key, options.eval_fraction, options.seed);
    (held_out ? *eval_out : out).write(record);
  }
  report.counts = reader.counts();
  report.written = out.records();
  report.written_eval = eval_out ? eval_out->records() : 0;
  report.duplicates = count_repeats(records);
  if (report.kind == RecordKind::Pair) report.contradicted = count_contradicted(records);
  report.repeated_prompts = count_repeats(prompts);
  report.prompts = prompts.size() - report.repeated_prompts;
  if (report.written == 0 || (eval_out && report.written_eval == 0)) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{}: a split of {} different prompts at fraction {} leaves one side empty",
                            name_of(options.data.paths), report.prompts, options.eval_fraction),
                "use another fraction or --seed, or more data");
  }
  out.commit();
  if (eval_out) eval_out->commit();
  return report;
}

double longer_wins(const PrepareReport& report) {
  const auto pairs = static_cast<double>(report.chosen.count());
  if (pairs == 0) return 0;
  return (static_cast<double>(report.chosen_longer) + static_cast<double>(report.equally_long) / 2) / pairs;
}

}  // namespace coala
