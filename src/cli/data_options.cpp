#include "cli/data_options.h"

#include "data/data_files.h"
#include "terminal/path_kinds.h"

namespace coala {

DataFiles DataOptions::files() const {
  return {find_data_files(names), reader()};
}

ReaderOptions DataOptions::reader() const {
  ReaderOptions result;
  result.shape = parse_shape(shape);
  result.alternation = alternation == "code" ? Alternation::Code : Alternation::Paper;
  result.rankings = rankings == "best" ? Rankings::Best : Rankings::All;
  if (!columns.empty()) result.columns.renamed = parse_renamed_columns(columns);
  if (!ignore_columns.empty()) result.columns.ignored = parse_ignored_columns(ignore_columns);
  result.columns.label_true = label_true;
  result.skip_bad = skip_bad;
  return result;
}

void add_skip_option(CLI::App& command, DataOptions& options) {
  command.add_flag("--skip-bad", options.skip_bad,
                   "leave records out that cannot be read, that the chat template refuses or that have no tokens, "
                   "instead of stopping; they are counted and named");
}

void add_data_options(CLI::App& command, DataOptions& options, bool required) {
  command
      .add_option("--data", options.names,
                  "preferences in any shape of docs/data-shapes.md: JSON lines, JSON, parquet or Arrow, also packed; a "
                  "file, several, a folder or a pattern")
      ->type_name(kData)
      ->required(required);
  command.add_option("--shape", options.shape, "how the data are written; auto looks at each record")
      ->check(CLI::IsMember(shape_names()))
      ->capture_default_str();
  command
      .add_option("--alternation", options.alternation,
                  "how conversations become pairs: as the paper says or as its code does")
      ->check(CLI::IsMember({"paper", "code"}))
      ->capture_default_str();
  command
      .add_option("--rankings", options.rankings,
                  "which pairs several rated responses give: all with different places, or the best against each other")
      ->check(CLI::IsMember({"all", "best"}))
      ->capture_default_str();
  command
      .add_option("--columns", options.columns,
                  "where the file has what coala reads: prompt=question,chosen=answers.0.text")
      ->type_name("NAME=COLUMN,...");
  command
      .add_option("--ignore-columns", options.ignore_columns,
                  "columns that do not matter, although they may look like a part of the preference")
      ->type_name("COLUMN,...");
  command.add_option("--label-true", options.label_true, "the label that means good; every other one means bad")
      ->type_name("VALUE");
}

}  // namespace coala
