#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "coala/api.h"
#include "coala/context.h"
#include "coala/head.h"
#include "coala/model.h"

namespace coala::v1 {

struct ExportSettings {
  ExportFormat format = ExportFormat::Fitting;
  MergedType quantised = MergedType::Full;  ///< of a whole model, which Fitting is then: its output matrix
  double scale = 1;                         ///< how strongly the head guides
  std::string name = {};                    ///< of the result, for chat programs; "": the model's name and "(coala)"
  bool allow_unbound = false;               ///< accept a head that does not say which model it is for
};

struct Exported {
  bool adapter = false;  ///< a LoRA adapter, else a whole model
  std::string name = {};
  std::size_t rank = 0;     ///< of the change
  std::uint64_t bytes = 0;  ///< of the file
  // Of a whole model, beside the guided one:
  std::optional<double> divergence = {};   ///< of its next-token distributions, nats per token
  std::optional<double> same_tokens = {};  ///< share of tokens with the same most probable one
};

/// Writes a head's guidance as a file that every llama.cpp program runs.
/// @throws Error{BadInput} for a head without a token head or a form that the model cannot have, Error{Mismatch} for a
///   head of another model, Error{BadUsage} for an adapter that is to be quantised, Error{Io}
COALA_API Exported export_guidance(const Model& model, const Head& head, const std::filesystem::path& out,
                                   const ExportSettings& settings = {}, const Context& context = {});

}  // namespace coala::v1
