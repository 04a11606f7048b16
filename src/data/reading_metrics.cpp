#include "data/reading_metrics.h"

namespace coala {

ReadingMetrics reading_metrics(const ReaderCounts& counts) {
  ReadingMetrics metrics;
  metrics.files = counts.files;
  metrics.lines = counts.lines;
  metrics.blank_lines = counts.blank_lines;
  metrics.records = counts.records;
  metrics.records_used = counts.records_used;
  metrics.records_left_out = counts.records - counts.records_used;
  for (const auto& [shape, count] : counts.by_shape) metrics.shapes.emplace_back(shape_name(shape), count);
  metrics.left_out = {counts.ties,      counts.contradictions,   counts.empty,     counts.null,
                      counts.identical, counts.no_shared_prompt, counts.weightless};
  metrics.records_without = {counts.short_conversations, counts.alone, counts.bad, counts.unrated};
  metrics.diverged_early = counts.diverged_early;
  if (counts.conversations > 0) {
    metrics.conversations = counts.conversations;
    metrics.triplets = counts.triplets;
  }
  metrics.columns.read.assign(counts.columns_read.begin(), counts.columns_read.end());
  metrics.columns.ignored.assign(counts.columns_ignored.begin(), counts.columns_ignored.end());
  return metrics;
}

}  // namespace coala
