#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "core/parallel.h"
#include "extract/encoded_record.h"
#include "extract/prefix_plan.h"

namespace coala {

/// Consecutive records whose evaluation is planned together. A window ends where the records say, so its features do
/// not depend on the machine or on how often the work was interrupted.
struct Window {
  std::uint32_t index = 0;
  std::vector<RecordRow> rows;
  std::vector<EncodedResponse> responses;  ///< responses_per_record for each row
  std::size_t responses_per_record = 1;
  PrefixPlan plan;
  FeatureCounts counts;  ///< of the window, as planned

  struct Place {
    std::uint32_t block = 0;
    std::uint32_t row = 0;   ///< of the first of its features
    std::uint32_t rows = 1;  ///< see FeatureExtractor::features_of()
  };
  std::vector<Place> places;  ///< of the responses in the plan

  /// Rows of features that a record gives: as many as the response with most of them has.
  std::uint32_t rows_of_record(std::size_t record) const;

  std::vector<const EncodedResponse*> responses_of(std::uint32_t block) const;
};

/// Reads and encodes records, window by window. What is kept of a record is its tokens.
template <class Item>
class WindowReader {
 public:
  using Source = std::function<bool(Item&)>;
  /// @param first_window  index of the first window; the source must be at its first record
  /// @param skip_bad      records that cannot be encoded are left out instead of thrown
  WindowReader(Source source, const FeatureExtractor& extractor, ThreadPool& pool, std::uint32_t first_window,
               bool skip_bad);

  /// False at the end. @throws what encode_record() throws for the first record that cannot be encoded
  bool next(Window& window);
  /// Records that were left out so far, in their order.
  const std::vector<LeftOutRecord>& left_out() const { return left_out_; }

 private:
  void encode_more();

  Source source_;
  const FeatureExtractor& extractor_;
  ThreadPool& pool_;
  std::uint32_t next_window_;
  bool skip_bad_;
  bool more_ = true;
  std::uint64_t read_ = 0;
  std::vector<LeftOutRecord> left_out_;
  std::deque<EncodedRecord> encoded_;
};

}  // namespace coala
