#pragma once

namespace coala {

/// How messages become text.
enum class TemplateMode {
  Model,   ///< the file's chat template, or the plain one of ChatTemplate when it has none
  Raw,     ///< none: the contents, a line break after each
  None,    ///< none: the contents, word for word
  Parsed,  ///< the contents carry a template already: word for word, their control tokens read as such
};

/// How a sequence of states becomes one vector.
enum class Pooling {
  Mean,
  Last,
  MeanAndLast,  ///< both, side by side
};
enum class PoolOver { Response, All };  ///< the response's tokens, or the prompt's too

/// How the changed output matrix is stored.
enum class MergedType {
  Full,  ///< F32 when it was F32, else F16
  Q8_0,  ///< about half of F16; rounds by a 254th of the largest of 32 numbers
  Q6_K,  ///< two fifths of F16; rows of a multiple of 256 numbers only
};

/// How a head takes part in writing.
enum class Guidance {
  None,
  BestOfN,    ///< chooses among replies
  Sentence,   ///< chooses among ways to go on, sentence by sentence
  Branch,     ///< scores the next tokens' texts now and then
  EachToken,  ///< its token head tilts every token's logits
  Bias,       ///< the same without context: the baseline
};

/// In which form guidance becomes a file for llama.cpp's programs.
enum class ExportFormat {
  Fitting,  ///< an adapter where the model can have one, else the whole model
  Lora,
  Gguf,
};

}  // namespace coala
