// Feature files: in one that is accepted every row can be read.
#include "core/error.h"
#include "features/feature_set.h"
#include "features/feature_subset.h"
#include "features/length_difference.h"
#include "input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const coala::fuzz::InputFile input(data, size);
  try {
    const coala::FeatureSet set = coala::load_features(input.path());
    coala::fuzz::require(set.rows() > 0 && set.dimension() > 0 && set.prompt_id.size() == set.rows());
    const coala::FeatureSet whole = coala::whole_rows(set);
    std::vector<float> row(set.dimension());
    for (const coala::StoredRows* side : {&whole.chosen, &whole.rejected, &whole.features}) {
      for (std::size_t i = 0; i < side->rows(); ++i) side->read(i, 0, std::span<float>(row));
    }
    if (!set.length_chosen.empty() && !set.length_rejected.empty()) coala::bounded_length_difference(set);
  } catch (const coala::Error&) {
  }
  return 0;
}
