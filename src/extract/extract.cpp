#include "extract/extract.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/resources.h"
#include "extract/feature_rows.h"
#include "extract/parallel_extractor.h"
#include "extract/part_store.h"

namespace coala {
namespace {

void add_row(FeatureRows& rows, const Matrix<float>& features, const Pair& pair) {
  rows.put("prompt_id", prompt_id(pair));
  const float weight = static_cast<float>(pair.weight.value_or(1));
  const float margin = static_cast<float>(pair.margin.value_or(0));
  rows.put("weight", {&weight, 1});
  rows.put("margin", {&margin, 1});
  if (pair.weight) rows.mark_present("weight");
  if (pair.margin) rows.mark_present("margin");
  rows.put("length_chosen", code_points(pair.chosen));
  rows.put("length_rejected", code_points(pair.rejected));
  rows.put("chosen", features.row(0));
  rows.put("rejected", features.row(1));
  rows.end_row();
}

void add_row(FeatureRows& rows, const Matrix<float>& features, const Labelled& labelled) {
  rows.put("prompt_id", prompt_id(labelled));
  rows.put("length", code_points(labelled.response));
  rows.put("features", features.row(0));
  rows.put("labels", labelled.label);
  rows.end_row();
}

/// Whether `out` holds these features already. @throws Error{Mismatch} when it holds others and may not be replaced
bool is_up_to_date(const std::filesystem::path& out, const Metadata& description, bool replace, FeatureCounts& counts) {
  if (!std::filesystem::exists(out)) return false;
  const std::string hint = "remove it, or choose another --out";
  try {
    const SafetensorsFile file(out);
    const auto found = file.metadata().find("fingerprint");
    if (found != file.metadata().end() && found->second == description.at("fingerprint")) {
      counts = counts_of(file.metadata());
      return true;
    }
    if (replace) return false;
    throw Error(ErrorCode::Mismatch,
                found == file.metadata().end()
                    ? fmt::format("{} is there already and was not written by `coala extract`", out.string())
                    : fmt::format("{} is there already and was made from something else: {}", out.string(),
                                  describe_difference(file.metadata(), description)),
                hint);
  } catch (const Error& error) {
    if (replace && error.code() == ErrorCode::CorruptFile) return false;
    if (error.code() == ErrorCode::CorruptFile) {
      throw Error(ErrorCode::Mismatch, fmt::format("{} is there already and is no feature file", out.string()), hint);
    }
    throw;
  }
}

template <class Item>
ExtractTotals extract_records(const Backbone& backbone, FeatureKind kind, const std::function<bool(Item&)>& source,
                              const std::filesystem::path& out, const ExtractOptions& options) {
  if (options.data.hash.empty()) throw Error(ErrorCode::Internal, "features need the identity of their data");
  if (options.dtype != Dtype::F32 && options.dtype != Dtype::F16 && options.dtype != Dtype::BF16) {
    throw Error(ErrorCode::BadUsage, fmt::format("features cannot be stored as {}", dtype_name(options.dtype)),
                "use f32, f16 or bf16");
  }
  const double start = monotonic_s();
  const OutputLock lock(out);
  ParallelExtractor extractor(backbone, options.features, options.threads);
  const Metadata description = describe_features(extractor.extractor(), kind, options.dtype, options.data);
  ExtractTotals totals;
  std::uint64_t evaluated_tokens = 0;
  if (is_up_to_date(out, description, options.replace, totals.counts)) {
    totals.up_to_date = true;
  } else {
    const std::size_t dimension = backbone.identity().dimension;
    PartStore parts(out, description, feature_columns(kind, options.dtype, dimension));
    totals.resumed_records = parts.rows();
    FeatureRows rows(kind, options.dtype, dimension);
    FeatureCounts pending;  // of the rows that are not on disk
    double last_write = monotonic_s();
    const auto flush = [&] {
      parts.write(rows, pending);
      pending = {};
      rows.clear();
      last_write = monotonic_s();
    };
    Item record;
    for (std::uint64_t i = 0; i < totals.resumed_records; ++i) {
      if (!source(record)) {
        throw Error(ErrorCode::BadInput, "the data has fewer records than in the run that is being resumed",
                    fmt::format("remove {}.parts and start again", out.string()));
      }
    }
    try {
      extractor.extract<Item>(
          source, [&](const Item& item, const Matrix<float>& features, const FeatureCounts& counts) {
            add_row(rows, features, item);
            pending += counts;
            evaluated_tokens += counts.unique_tokens;
            if (options.on_progress) {
              options.on_progress(parts.rows() + rows.rows(), parts.counts().unique_tokens + pending.unique_tokens);
            }
            if (rows.rows() >= options.part_rows || monotonic_s() - last_write >= options.part_s) flush();
          });
    } catch (const Error& error) {
      // What is finished is kept when the user stops; after other errors the data must change anyway.
      if (error.code() == ErrorCode::Interrupted) flush();
      throw;
    }
    flush();
    if (parts.rows() == 0) {
      throw Error(ErrorCode::BadInput, fmt::format("{} has no records", options.data.name), "check --data");
    }
    parts.merge(description);
    totals.counts = parts.counts();
  }
  totals.seconds = monotonic_s() - start;
  totals.tokens_per_second = static_cast<double>(evaluated_tokens) / totals.seconds;
  totals.flops = evaluation_flops(backbone.identity(), totals.counts);
  return totals;
}

}  // namespace

ExtractTotals extract_pairs(const Backbone& backbone, const PairSource& source, const std::filesystem::path& out,
                            const ExtractOptions& options) {
  return extract_records<Pair>(backbone, FeatureKind::Pairs, source, out, options);
}

ExtractTotals extract_labelled(const Backbone& backbone, const LabelledSource& source, const std::filesystem::path& out,
                               const ExtractOptions& options) {
  return extract_records<Labelled>(backbone, FeatureKind::Labelled, source, out, options);
}

}  // namespace coala
