#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "data/reader.h"

namespace coala {

/// A data file as named on the command line, and how it is read.
struct DataOptions {
  std::string path;
  std::string shape = "auto";
  std::string alternation = "paper";
  std::string rankings = "all";
  std::string columns;
  std::string ignore_columns;
  std::string label_true;
  bool skip_bad = false;

  ReaderOptions reader() const;
};

/// Adds --skip-bad.
void add_skip_option(CLI::App& command, DataOptions& options);
void add_data_options(CLI::App& command, DataOptions& options, bool required);

}  // namespace coala
