// Preference files of every shape. The first byte chooses the shape; the rest is the file.
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "data/element_reader.h"
#include "data/reader.h"
#include "data/table_converter.h"
#include "input_file.h"

namespace {

constexpr std::size_t kMostBytes = 1 << 16;

/// What was read without complaint is JSON for a strict parser that sees a whole object at a time.
void check_elements(const std::filesystem::path& path) {
  coala::ElementReader reader(path, kMostBytes);
  for (coala::Element element; reader.next(element);) {
    const auto value = nlohmann::json::parse(element.text, nullptr, /*allow_exceptions=*/false);
    coala::fuzz::require(value.is_object());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  // Tables are read by another program.
  if (coala::is_table({reinterpret_cast<const char*>(data + 1), size - 1})) return 0;
  const coala::fuzz::InputFile file(data + 1, size - 1);
  coala::ReaderOptions options;
  constexpr int kShapes = static_cast<int>(coala::Shape::Unjudged) + 1;
  options.shape = static_cast<coala::Shape>(data[0] % kShapes);
  options.alternation = data[0] / kShapes % 2 == 0 ? coala::Alternation::Paper : coala::Alternation::Code;
  options.rankings = data[0] % 2 == 0 ? coala::Rankings::All : coala::Rankings::Best;
  options.skip_bad = data[0] % 3 == 0;
  options.unjudged = data[0] % 5 == 0;
  options.max_record_bytes = kMostBytes;
  try {
    coala::RecordReader reader({{file.path()}, options});
    for (coala::Record record; reader.next(record);) {
    }
    if (!options.skip_bad) check_elements(file.path());
  } catch (const coala::Error&) {
  }
  return 0;
}
