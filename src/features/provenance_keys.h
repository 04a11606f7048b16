#pragma once

#include <array>
#include <string_view>

namespace coala {

/// An entry of a feature file's metadata that says what its numbers were made of.
struct ProvenanceKey {
  std::string_view key;
  std::string_view what = {};  ///< for people
  bool decides = false;        ///< the numbers or the layout of the file: a part of its fingerprint
  bool inherited = false;      ///< by a head that is trained on the file
  bool binds = false;          ///< the head and the features that it scores must agree
};

/// In the order of fingerprints, and in which differences are told.
inline constexpr auto kProvenanceKeys = std::to_array<ProvenanceKey>({
    {.key = "coala.format", .what = "file format", .decides = true},
    {.key = "backbone.hash", .what = "backbone", .decides = true, .inherited = true, .binds = true},
    {.key = "backbone.name", .inherited = true},
    {.key = "backbone.architecture", .inherited = true},
    {.key = "backbone.quantization", .inherited = true},
    {.key = "adapter.hash", .what = "adapter", .decides = true, .inherited = true, .binds = true},
    {.key = "adapter.scale", .what = "adapter's scale", .decides = true, .inherited = true, .binds = true},
    {.key = "adapter.name", .inherited = true},
    {.key = "backbone.engine", .what = "engine", .decides = true},
    {.key = "backbone.states", .what = "version of the states", .decides = true, .inherited = true},
    {.key = "tokenizer.hash", .what = "tokenizer", .decides = true, .inherited = true, .binds = true},
    {.key = "template", .what = "template", .decides = true, .inherited = true},
    {.key = "template.hash", .what = "chat template", .decides = true, .inherited = true, .binds = true},
    {.key = "bos", .what = "BOS policy", .decides = true, .inherited = true, .binds = true},
    {.key = "feature.tensor", .what = "feature tensor", .decides = true, .inherited = true, .binds = true},
    {.key = "feature.layer", .what = "feature layer", .decides = true, .inherited = true, .binds = true},
    {.key = "feature.precision", .what = "precision of products", .decides = true, .inherited = true, .binds = true},
    {.key = "feature.device", .what = "device", .decides = true, .inherited = true},
    {.key = "pooling", .what = "pooling", .decides = true, .inherited = true, .binds = true},
    {.key = "pooling.over", .what = "pooled tokens", .decides = true, .inherited = true, .binds = true},
    {.key = "pooling.prefix_every", .what = "prefix rows", .decides = true},
    {.key = "max_length", .what = "maximum length", .decides = true, .inherited = true, .binds = true},
    {.key = "data.hash", .what = "data", .decides = true, .inherited = true},
    {.key = "data.name", .inherited = true},
    {.key = "data.kind", .what = "kind of data", .decides = true},
    {.key = "data.groups", .what = "grouping of prompts", .decides = true},
    {.key = "extract.dtype", .what = "number type", .decides = true},
    {.key = "extract.truncation", .what = "truncation", .decides = true},
    {.key = "extract.packing", .what = "packing", .decides = true},
    {.key = "token.rank", .what = "rank of the token head", .decides = true},
    {.key = "token.share", .what = "share of tokens for the token head", .decides = true},
    {.key = "token.basis", .what = "basis of the token head", .decides = true},
});

}  // namespace coala
