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

  ReaderOptions reader() const;
};

void add_data_options(CLI::App& command, DataOptions& options, bool required);

}  // namespace coala
