#include "cli/data_options.h"

#include "cli/check_options.h"

namespace coala {

ReaderOptions DataOptions::reader() const {
  ReaderOptions result;
  result.shape = parse_shape(shape);
  result.alternation = alternation == "code" ? Alternation::Code : Alternation::Paper;
  return result;
}

void add_data_options(CLI::App& command, DataOptions& options, bool required) {
  command.add_option("--data", options.path, "JSON lines or JSON, plain or gzip, in any shape of docs/data-shapes.md")
      ->type_name(kInput)
      ->required(required);
  command.add_option("--shape", options.shape, "how the data are written; auto looks at each record")
      ->check(CLI::IsMember(shape_names()))
      ->capture_default_str();
  command
      .add_option("--alternation", options.alternation,
                  "how conversations become pairs: as the paper says or as its code does")
      ->check(CLI::IsMember({"paper", "code"}))
      ->capture_default_str();
}

}  // namespace coala
