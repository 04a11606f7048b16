#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace coala {

/// Every command with its options, as Markdown: docs/cli.md.
std::string markdown_reference(const CLI::App& app);

}  // namespace coala
