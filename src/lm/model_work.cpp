#include "lm/model_work.h"

#include <string>
#include <string_view>

#include "lm/gguf_file.h"

namespace coala {
namespace {

constexpr std::string_view kLayer = "blk.";

/// Of a layer, and multiplied with a token's states: no norm, no bias.
bool is_matrix_of_layer(const GgufTensor& tensor) {
  return tensor.name.starts_with(kLayer) && tensor.shape.size() > 1 && tensor.name.ends_with(".weight");
}

/// Of all experts of a layer together ("ffn_up_exps"), not of those that every token meets ("ffn_up_shexp").
bool is_of_experts(const GgufTensor& tensor) {
  return tensor.name.find("_exps.") != std::string::npos;
}

/// Sizes of heads may be left to be told from the states', and differ from layer to layer: then the matrix that takes
/// the heads together has them.
double attention_width(const GgufFile& file) {
  const std::string key = file.text("general.architecture") + ".attention.";
  const auto heads = static_cast<double>(file.integer(key + "head_count", 0));
  const auto keys = static_cast<double>(file.integer(key + "key_length_mla", file.integer(key + "key_length", 0)));
  const auto values =
      static_cast<double>(file.integer(key + "value_length_mla", file.integer(key + "value_length", 0)));
  double width = 0;
  for (const GgufTensor& tensor : file.tensors) {
    if (!tensor.name.starts_with(kLayer) || !tensor.name.ends_with(".attn_output.weight")) continue;
    const bool said = heads > 0 && keys > 0 && values > 0;
    width += said ? heads * (keys + values) / 2 : static_cast<double>(tensor.shape.front());
  }
  return width;
}

}  // namespace

ModelWork work_of_model(const std::filesystem::path& path) {
  const GgufFile file = read_gguf_header(path);
  const std::string architecture = file.text("general.architecture");
  const auto experts = static_cast<double>(file.integer(architecture + ".expert_count", 0));
  const auto used = static_cast<double>(file.integer(architecture + ".expert_used_count", 0));
  const double used_share = experts > 0 ? used / experts : 1;
  ModelWork work;
  double embedding = 0;
  for (const GgufTensor& tensor : file.tensors) {
    const auto elements = static_cast<double>(tensor.elements);
    if (tensor.name == "token_embd.weight") embedding = elements;
    if (tensor.name == "output.weight") work.output_weights = elements;
    if (is_matrix_of_layer(tensor)) work.block_weights += is_of_experts(tensor) ? elements * used_share : elements;
  }
  if (work.output_weights == 0) work.output_weights = embedding;
  work.attention_width = attention_width(file);
  return work;
}

}  // namespace coala
