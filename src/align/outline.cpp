#include "align/outline.h"

#include <variant>

#include "extract/encoded_record.h"

namespace coala {

FeatureSet outline_of(const RecordStore& data) {
  FeatureSet set;
  set.kind = data.kind() == RecordKind::Pair ? FeatureKind::Pairs : FeatureKind::Labelled;
  set.path = data.name();
  set.has_prompt_id = true;
  RecordCursor records(data);
  for (Record record; records.next(record);) {
    set.prompt_id.push_back(prompt_id(record));
    if (const Pair* pair = std::get_if<Pair>(&record)) {
      set.weight.push_back(static_cast<float>(pair->weight.value_or(1)));
    } else {
      set.labels.push_back(static_cast<std::int8_t>(std::get<Labelled>(record).label));
    }
  }
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
