#pragma once

#include <array>
#include <span>
#include <string>

namespace coala {

/// What decides how much a model computes for a token.
struct ModelShape {
  std::string name;
  double block_weights = 0;    ///< of all matrices but the embedding and the output matrix
  double output_weights = 0;   ///< dimension times vocabulary
  double attention_width = 0;  ///< layers times (heads times their dimension)
};

/// The paper's six backbones, by their published configurations.
std::span<const ModelShape> paper_backbones();

/// Mean tokens of a preference.
struct PairTokens {
  double prompt = 0, chosen = 0, rejected = 0;
};

/// How the weights of SFT, DPO and ORPO are trained.
enum class Tuning {
  Lora,  ///< gradients of the states alone: those of frozen weights are not computed; the adapters' own are left out
  Full,
};

/// Floating-point operations of one epoch over a preference, a multiplication and an addition counted as two.
struct MethodCost {
  double coala = 0;  ///< extraction: the prompt once, both answers, no output matrix. Its solver's work is the report's
  double sft = 0;    ///< prompt and chosen answer
  double dpo = 0;    ///< both answers, each with its prompt, forward and backward; and forward in the reference
  double orpo = 0;   ///< as DPO, without a reference
};
MethodCost method_cost(const ModelShape& shape, const PairTokens& tokens, Tuning tuning);

/// Published in arXiv 2605.23244 for its data set EduFeedback (65,606 pairs), in TFLOP. Its COALA column is wall time
/// times 231 TFLOP/s of an RTX 4090, without extraction; the others are from logs or a profiler on an A100-40GB.
struct PublishedCost {
  const char* model;
  double coala, dpo, orpo, sft;
};
inline constexpr double kPublishedPairs = 65'606;
inline constexpr double kPublishedFlopsPerSecond = 231e12;
inline constexpr std::array<PublishedCost, 5> kPublishedCosts{{{"DistilGPT-2", 152.56, 537.12, 643.33, 271},
                                                               {"GPT-2", 379.89, 1087.45, 1305.27, 522},
                                                               {"Mistral-7B", 1580.45, 9284.71, 11241.89, 2492},
                                                               {"Llama-8B", 1805.39, 10253.37, 12352.98, 2851},
                                                               {"Dolphin-7B", 1794.66, 10091.25, 12116.50, 2804}}};

/// Its data sets, with their sizes; how long their texts are it does not say.
struct PublishedData {
  const char* name;
  double pairs;
};
inline constexpr std::array<PublishedData, 4> kPublishedData{
    {{"EduFeedback", 65'606}, {"UltraFeedback", 60'917}, {"IMDb", 25'000}, {"HelpSteer", 7'708}}};

}  // namespace coala
