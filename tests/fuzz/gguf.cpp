// The header of a GGUF file, read as a model's and as an adapter's.
#include "core/error.h"
#include "input_file.h"
#include "lm/gguf_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const coala::fuzz::InputFile input(data, size);
  for (const auto read : {coala::read_gguf_header, coala::read_adapter_header}) {
    try {
      const coala::GgufFile file = read(input.path());
      coala::fuzz::require(!file.tensors.empty());
    } catch (const coala::Error&) {
    }
  }
  return 0;
}
