#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "coala/model_choices.h"
#include "core/setting.h"
#include "decode/export_loss.h"
#include "head/head.h"
#include "lm/backbone.h"

namespace coala {

inline constexpr std::array kExportFormats{Named{"auto", ExportFormat::Fitting}, Named{"lora", ExportFormat::Lora},
                                           Named{"gguf", ExportFormat::Gguf}};
constexpr const auto& names_of(ExportFormat) {
  return kExportFormats;
}
inline constexpr std::array kMergedTypes{Named{"none", MergedType::Full}, Named{"q8_0", MergedType::Q8_0},
                                         Named{"q6_k", MergedType::Q6_K}};
constexpr const auto& names_of(MergedType) {
  return kMergedTypes;
}

struct HeadExport {
  ExportFormat format = ExportFormat::Fitting;
  MergedType quantised = MergedType::Full;  ///< of a whole model, which Fitting is then
  double scale = 1;                         ///< how strongly the head guides
  std::string name;                         ///< of the result, for chat programs; "": the model's name and "(coala)"
};

struct ExportedHead {
  bool adapter = false;  ///< else a whole model
  std::string name;
  std::size_t rank = 0;
  std::uint64_t bytes = 0;         ///< of the file
  std::optional<ExportLoss> loss;  ///< of a whole model, which was loaded and compared with the guided one
};

/// Writes what a token head does as an adapter on the output matrix, or as a whole model.
/// @throws Error{BadInput} when the head has no token head, or what write_lora() and write_merged() throw;
///   Error{BadUsage} for Lora that is to be quantised
ExportedHead export_head(const Head& head, const std::filesystem::path& head_path, const Backbone& backbone,
                         const HeadExport& options, const std::filesystem::path& out, int threads);

}  // namespace coala
