#include "extract/window.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "core/error.h"
#include "core/interrupt.h"
#include "data/record.h"

namespace coala {
namespace {

/// What a window may hold: with 4 bytes per token about 64 MB. Prompts that come again later than that are evaluated
/// again.
constexpr std::uint64_t kWindow_tokens = std::uint64_t{1} << 24;
constexpr std::size_t kWindow_records = std::size_t{1} << 17;
constexpr std::size_t kEncodeTogether = 256;

}  // namespace

std::uint32_t Window::rows_of_record(std::size_t record) const {
  std::uint32_t most = 0;
  for (std::size_t r = 0; r < responses_per_record; ++r) {
    most = std::max(most, places[record * responses_per_record + r].rows);
  }
  return most;
}

std::vector<const EncodedResponse*> Window::responses_of(std::uint32_t block) const {
  std::vector<const EncodedResponse*> of_block;
  for (const std::uint32_t r : plan.blocks[block].responses) of_block.push_back(&responses[r]);
  return of_block;
}

template <class Item>
WindowReader<Item>::WindowReader(Source source, const FeatureExtractor& extractor, ThreadPool& pool,
                                 std::uint32_t first_window, bool skip_bad)
    : source_(std::move(source)), extractor_(extractor), pool_(pool), next_window_(first_window), skip_bad_(skip_bad) {}

template <class Item>
void WindowReader<Item>::encode_more() {
  throw_if_interrupted();
  std::vector<Item> items;
  while (items.size() < kEncodeTogether) {
    Item item;
    more_ = source_(item);
    if (!more_) break;
    items.push_back(std::move(item));
  }
  std::vector<EncodedRecord> results(items.size());
  std::vector<std::exception_ptr> failures(items.size());
  pool_.for_parts(items.size(), 1, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      try {
        results[i] = encode_record(extractor_, items[i]);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    }
  });
  for (std::size_t i = 0; i < items.size(); ++i, ++read_) {
    if (!failures[i]) {
      const std::vector<EncodedResponse>& responses = results[i].responses;
      if (responses.size() == 2 && !responses[0].complete &&
          responses[0].tokens == responses[1].tokens) {  // a pair that says nothing any more
        left_out_.push_back({read_, results[i].row.id + ": both responses are the same tokens after the cut to the "
                                                        "maximum length"});
        continue;
      }
      encoded_.push_back(std::move(results[i]));
      continue;
    }
    try {
      std::rethrow_exception(failures[i]);
    } catch (const Error& error) {
      if (!skip_bad_ || error.code() != ErrorCode::BadInput) throw;
      left_out_.push_back({read_, error.what()});
    }
  }
}

template <class Item>
bool WindowReader<Item>::next(Window& window) {
  window = Window{};
  window.responses_per_record = std::is_same_v<Item, Pair> ? 2 : 1;
  while (window.counts.tokens < kWindow_tokens && window.rows.size() < kWindow_records) {
    while (encoded_.empty() && more_) encode_more();
    if (encoded_.empty()) break;
    EncodedRecord& record = encoded_.front();
    window.rows.push_back(std::move(record.row));
    for (EncodedResponse& response : record.responses) window.responses.push_back(std::move(response));
    window.counts += record.counts;
    encoded_.pop_front();
  }
  if (window.rows.empty()) return false;
  window.index = next_window_++;
  window.plan = plan_prefixes(window.responses, extractor_.evaluator().shares_prefixes(),
                              /*causal=*/!extractor_.backbone().identity().encoder);
  window.counts.unique_tokens = window.plan.unique_tokens;
  window.counts.evaluated_tokens = window.plan.evaluated_tokens;
  window.counts.attention_pairs = window.plan.attention_pairs;
  window.places.resize(window.responses.size());
  for (std::uint32_t b = 0; b < window.plan.blocks.size(); ++b) {
    const auto& responses = window.plan.blocks[b].responses;
    std::uint32_t row = 0;
    for (const std::uint32_t response : responses) {
      const auto rows = static_cast<std::uint32_t>(extractor_.features_of(window.responses[response]));
      window.places[response] = {b, row, rows};
      row += rows;
    }
  }
  return true;
}

template class WindowReader<Pair>;
template class WindowReader<Labelled>;

}  // namespace coala
