#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "data/reader.h"

namespace coala {

/// Data files as named on the command line, and how they are read.
struct DataOptions {
  std::vector<std::string> names;
  std::string shape = "auto";
  std::string alternation = "paper";
  std::string rankings = "all";
  std::string columns;
  std::string ignore_columns;
  std::string label_true;
  bool skip_bad = false;

  /// @throws Error{BadInput} for a name that nothing answers to
  DataFiles files() const;
  ReaderOptions reader() const;
};

/// Adds --skip-bad.
void add_skip_option(CLI::App& command, DataOptions& options);
void add_data_options(CLI::App& command, DataOptions& options, bool required);

}  // namespace coala
