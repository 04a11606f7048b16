#include "extract/token_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "core/progress.h"
#include "extract/token_sample.h"
#include "features/feature_index.h"

namespace coala {
namespace {

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

void save_basis(const TokenBasis& basis, const std::string& key, const std::filesystem::path& path) {
  SafetensorsWriter writer(path);
  writer.set_metadata({{kMadeFor, key}});
  for (const FileTensor& tensor : tensors_of(basis)) writer.declare(tensor.name, Dtype::F32, tensor.shape);
  for (const FileTensor& tensor : tensors_of(basis)) writer.append(tensor.values);
  writer.commit();
}

/// Evaluates a sample of the data, as far as its states are not kept already, and fits a basis to it.
TokenBasis fit_basis(const Backbone& backbone, const RecordStore& data, ParallelExtractor& extractor,
                     KeptStates& states, const OutputMatrix& output, std::size_t rank, double share,
                     const ExtractOptions& options) {
  const TokenSample sample = choose_token_sample(backbone, data, extractor, rank, share, options.skip_bad);
  if (sample.blocks.empty()) {
    FeatureExtractor evaluator(backbone, options.features, options.threads);
    return fit_to_responses(sample, evaluator, output, rank, options.threads);
  }
  {
    std::uint64_t tokens = 0;
    std::uint64_t known = 0;
    for (const std::uint32_t b : sample.blocks) {
      const std::uint64_t of_block = sample.window.plan.blocks[b].evaluated_tokens;
      tokens += of_block;
      if (states.contains({sample.window.index, b})) known += of_block;
    }
    Progress progress("evaluating responses", tokens, "tokens", known);
    extractor.keep_states(sample.window, sample.blocks, states,
                          [&progress](std::uint64_t evaluated) { progress.advance(evaluated); });
  }
  return fit_to_kept(sample, states, options.features.over, output, rank, options.threads);
}

}  // namespace

std::filesystem::path token_basis_path(const std::filesystem::path& out) {
  std::filesystem::path path = out;
  path += ".token-basis";
  return path;
}

std::filesystem::path token_states_path(const std::filesystem::path& out, const Shard& shard) {
  std::filesystem::path path = out;
  path += kTokenStates;
  if (shard.count > 1) path += fmt::format("-{}-of-{}", shard.index + 1, shard.count);
  return path;
}

TokenSetup set_up_tokens(const Backbone& backbone, const RecordStore& data, const std::filesystem::path& out,
                         const ExtractOptions& options) {
  const auto output = options.output ? options.output : std::make_shared<const OutputMatrix>(backbone);
  const std::size_t rank = std::min(options.token_rank, output->dimension());
  const double share = token_share(backbone.identity(), rank);
  if (options.token_basis) {
    if (options.token_basis->dimension() != output->dimension()) {
      throw Error(ErrorCode::Mismatch,
                  fmt::format("the token basis is for states of {} numbers, those of {} have {}",
                              options.token_basis->dimension(), backbone.identity().name, output->dimension()));
    }
    return {std::make_shared<const TokenProjection>(output, *options.token_basis, share), nullptr};
  }
  ParallelExtractor extractor(backbone, options.features, options.threads);
  const Metadata description =
      describe_features(extractor.extractor(), FeatureKind::Pairs, options.dtype, options.data);
  const std::string key = fmt::format("{} {}", description.at("fingerprint"), rank);
  const std::filesystem::path states_path = token_states_path(out, options.shard);
  std::optional<TokenBasis> basis;
  std::shared_ptr<KeptStates> states;
  if (std::filesystem::exists(out)) basis = basis_in(first_file(out), key, description, rank);
  if (!basis) {
    basis = basis_in(token_basis_path(out), key, description, rank);
    if (!basis || std::filesystem::exists(states_path)) {
      states = std::make_shared<KeptStates>(states_path, description, output->dimension());
    }
  }
  if (!basis) {
    basis = fit_basis(backbone, data, extractor, *states, *output, rank, share, options);
    save_basis(*basis, key, token_basis_path(out));
  }
  return {std::make_shared<const TokenProjection>(output, std::move(*basis), share), std::move(states)};
}

}  // namespace coala
