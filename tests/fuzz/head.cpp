// Head files: one that is accepted gives scores.
#include "head/head.h"

#include "core/error.h"
#include "input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const coala::fuzz::InputFile input(data, size);
  try {
    const coala::Head head = coala::load_head(input.path());
    const std::vector<float> features(head.dimension(), 1.0f);
    head.probability(head.score(features));
    head.bound();
  } catch (const coala::Error&) {
  }
  return 0;
}
