#pragma once

#include <cstdint>

#include "core/metric.h"
#include "features/feature_set.h"

namespace coala {

/// What evaluation rows have in common with training rows: such rows flatter the head.
struct Leaks {
  static constexpr MetricTable kTable{
      "Leaks", "What evaluation rows have in common with training rows: such rows flatter the head."};

  std::uint64_t shared_prompt_rows = 0;  ///< rows whose prompt is in the training rows too
  std::uint64_t identical_rows = 0;      ///< rows with a response whose features are among the training responses
  std::uint64_t near_duplicate_rows =
      0;  ///< rows with a response within 2 % of a training response, identical ones out

  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "leak/shared_prompt_rows",
               .about = "evaluation rows whose prompt is in the training rows too",
               .unit = "rows"},
        self.shared_prompt_rows);
    add(Metric{.key = "leak/identical_rows",
               .about = "those with a response whose features are among those of the training responses",
               .unit = "rows"},
        self.identical_rows);
    add(Metric{.key = "leak/near_duplicate_rows",
               .about = "those with a response within 2 % of a training response, identical ones left out",
               .unit = "rows"},
        self.near_duplicate_rows);
  }

  Leaks& operator+=(const Leaks& other) {
    shared_prompt_rows += other.shared_prompt_rows;
    identical_rows += other.identical_rows;
    near_duplicate_rows += other.near_duplicate_rows;
    return *this;
  }
};

/// Near duplicates are looked for by locality-sensitive hashing: nearly all are found, and what is counted is one. They
/// are told in eight dimensions and more; in fewer, rows are near by chance.
Leaks find_leaks(const FeatureSet& train, const FeatureSet& held_out);

}  // namespace coala
