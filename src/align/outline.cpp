#include "align/outline.h"

#include <variant>

#include "data/byte_source.h"
#include "extract/encoded_record.h"

namespace coala {

FeatureSet outline_of(const DataFile& data, ReaderCounts& counts) {
  require_rereadable(data.path);
  RecordReader reader(data.path, data.reader);
  FeatureSet set;
  set.kind = reader.kind() == RecordKind::Pair ? FeatureKind::Pairs : FeatureKind::Labelled;
  set.path = data.path.string();
  set.has_prompt_id = true;
  for (Record record; reader.next(record);) {
    set.prompt_id.push_back(prompt_id(record));
    if (const Pair* pair = std::get_if<Pair>(&record)) {
      set.weight.push_back(static_cast<float>(pair->weight.value_or(1)));
    } else {
      set.labels.push_back(static_cast<std::int8_t>(std::get<Labelled>(record).label));
    }
  }
  counts = reader.counts();
  const std::size_t n = set.prompt_id.size();
  if (set.kind == FeatureKind::Pairs) {
    set.chosen = Matrix<float>(n, 1);
    set.rejected = Matrix<float>(n, 1);
  } else {
    set.features = Matrix<float>(n, 1);
  }
  return set;
}

}  // namespace coala
