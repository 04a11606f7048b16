#include "decode/export_head.h"

#include <fmt/format.h>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/progress.h"
#include "decode/token_export.h"
#include "decode/token_tilt.h"

namespace coala {

ExportedHead export_head(const Head& head, const std::filesystem::path& head_path, const Backbone& backbone,
                         const HeadExport& options, const std::filesystem::path& out, int threads) {
  if (is_written_through(out)) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{} is no file: what is exported is read again and checked", out.string()),
                "name a file with --out");
  }
  if (!head.token) {
    throw Error(ErrorCode::BadInput, fmt::format("{} has no token head, which is what is exported", head_path.string()),
                "train one with `coala train --token-head` or `coala align`");
  }
  const OutputMatrix output(backbone);
  const OutputChange change = output_change(*head.token, output, options.scale);
  ExportedHead result;
  const bool whole = options.quantised != MergedType::Full;  // an adapter is not quantised
  if (options.format == ExportFormat::Lora && whole) {
    throw Error(ErrorCode::BadUsage, "an adapter is not quantised", "use --format gguf, or leave --quantise out");
  }
  result.adapter =
      options.format == ExportFormat::Lora || (options.format == ExportFormat::Fitting && !whole && !output.tied());
  result.name = options.name.empty() ? backbone.identity().name + " (coala)" : options.name;
  result.rank = head.token->rank();
  if (result.adapter) {
    write_lora(backbone, output, change, result.name, out);
  } else {
    write_merged(backbone, output, change, options.quantised, result.name, out);
    const Progress progress("comparing it with the guided model");
    const TokenTilt tilt(*head.token, output, options.scale);
    ModelFile merged(out);
    merged.device = backbone.device_choice();
    result.loss = export_loss(backbone, tilt, Backbone(merged), threads);
  }
  result.bytes = std::filesystem::file_size(out);
  return result;
}

}  // namespace coala
