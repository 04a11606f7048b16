// Files of tensors: what the header allows can be read to the last byte.
#include "core/safetensors.h"

#include "core/error.h"
#include "input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const coala::fuzz::InputFile input(data, size);
  try {
    const coala::SafetensorsFile file(input.path());
    std::size_t bytes = 0;
    for (const auto& [name, view] : file.tensors()) {
      bytes += view.bytes.size();
      coala::fuzz::require(view.bytes.size() == view.count() * coala::dtype_bytes(view.dtype));
      try {
        coala::fuzz::require(file.read_f64(name).size() == view.count());
        coala::fuzz::require(file.read_f32(name).size() == view.count());
      } catch (const coala::Error&) {  // of integers
        coala::fuzz::require(file.read_i64(name).size() == view.count());
      }
    }
    coala::fuzz::require(bytes < size);
  } catch (const coala::Error&) {
  }
  return 0;
}
