#include "extract/token_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "core/progress.h"
#include "extract/encoded_record.h"
#include "extract/token_basis_fit.h"
#include "features/feature_index.h"

namespace coala {
namespace {

/// Records that a basis is fitted to: a twentieth of the data, within these bounds.
constexpr std::uint64_t kFewestRecords = 16;
constexpr std::uint64_t kMostRecords = 64;

constexpr const char* kMadeFor = "made_for";

/// The first file of an output, which may be a folder of them.
std::filesystem::path first_file(const std::filesystem::path& out) {
  if (!std::filesystem::is_directory(out)) return out;
  return out / read_feature_index(out).files.front().name;
}

/// The basis in a file that was made for the same model, data and rank.
std::optional<TokenBasis> basis_in(const std::filesystem::path& path, const std::string& key,
                                   const Metadata& description, std::size_t rank) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  try {
    const SafetensorsFile file(path);
    if (!has_token_basis(file)) return std::nullopt;
    const auto value = [&file](const char* name) {
      const auto found = file.metadata().find(name);
      return found == file.metadata().end() ? std::string() : found->second;
    };
    bool same = value(kMadeFor) == key;
    if (value(kMadeFor).empty()) {  // a finished output says itself what it was made of
      same = true;
      for (const char* name :
           {"backbone.hash", "adapter.hash", "adapter.scale", "template.hash", "max_length", "data.hash"}) {
        const auto expected = description.find(name);
        same = same && value(name) == (expected == description.end() ? "" : expected->second);
      }
    }
    TokenBasis basis = read_token_basis(file);
    if (same && basis.rank() == rank) return basis;
  } catch (const Error&) {
    // Damaged: the output's own check says so, and a basis is quickly made again.
  }
  return std::nullopt;
}

/// Responses of records that stand evenly spaced in the file.
std::vector<EncodedResponse> sample_responses(const FeatureExtractor& extractor, const DataFile& data, bool skip_bad) {
  std::uint64_t count = 0;
  Record record;
  for (RecordReader reader(data.path, data.reader); reader.next(record);) ++count;
  const std::uint64_t wanted = std::clamp(count / 20, kFewestRecords, kMostRecords);
  const std::uint64_t stride = std::max<std::uint64_t>(1, count / wanted);
  std::vector<EncodedResponse> sample;
  RecordReader reader(data.path, data.reader);
  const auto add = [&](const auto& item) {
    try {
      for (EncodedResponse& response : encode_record(extractor, item).responses) sample.push_back(std::move(response));
    } catch (const Error& error) {
      if (!skip_bad || error.code() != ErrorCode::BadInput) throw;
    }
  };
  std::uint64_t i = 0;
  if (reader.kind() == RecordKind::Pair) {
    for (Pair pair; reader.next(pair); ++i) {
      if (i % stride == 0) add(pair);
    }
  } else {
    for (Labelled labelled; reader.next(labelled); ++i) {
      if (i % stride == 0) add(labelled);
    }
  }
  std::ranges::sort(sample, {}, &EncodedResponse::tokens);  // so that prefixes are shared
  return sample;
}

void save_basis(const TokenBasis& basis, const std::string& key, const std::filesystem::path& path) {
  SafetensorsWriter writer(path);
  writer.set_metadata({{kMadeFor, key}});
  for (const FileTensor& tensor : tensors_of(basis)) writer.declare(tensor.name, Dtype::F32, tensor.shape);
  for (const FileTensor& tensor : tensors_of(basis)) writer.append(tensor.values);
  writer.commit();
}

}  // namespace

std::filesystem::path token_basis_path(const std::filesystem::path& out) {
  std::filesystem::path path = out;
  path += ".token-basis";
  return path;
}

std::shared_ptr<const TokenProjection> set_up_tokens(const Backbone& backbone, const DataFile& data,
                                                     const std::filesystem::path& out, const ExtractOptions& options) {
  auto output = std::make_shared<const OutputMatrix>(backbone);
  const std::size_t rank = std::min(options.token_rank, output->dimension());
  const double share = token_share(backbone.identity(), rank);
  if (options.token_basis) {
    if (options.token_basis->dimension() != output->dimension()) {
      throw Error(ErrorCode::Mismatch,
                  fmt::format("the token basis is for states of {} numbers, those of {} have {}",
                              options.token_basis->dimension(), backbone.identity().name, output->dimension()));
    }
    return std::make_shared<const TokenProjection>(output, *options.token_basis, share);
  }
  FeatureExtractor extractor(backbone, options.features, options.threads);
  const Metadata description = describe_features(extractor, FeatureKind::Pairs, options.dtype, options.data);
  const std::string key = fmt::format("{} {}", description.at("fingerprint"), rank);
  std::optional<TokenBasis> basis;
  if (std::filesystem::exists(out)) basis = basis_in(first_file(out), key, description, rank);
  if (!basis) basis = basis_in(token_basis_path(out), key, description, rank);
  if (!basis) {
    log_line("fitting the token head's basis to a sample");
    basis =
        fit_token_basis(extractor, *output, sample_responses(extractor, data, options.skip_bad), rank, options.threads);
    save_basis(*basis, key, token_basis_path(out));
  }
  return std::make_shared<const TokenProjection>(output, std::move(*basis), share);
}

}  // namespace coala
