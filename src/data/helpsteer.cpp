#include "data/helpsteer.h"

#include <fmt/format.h>

#include <cmath>

#include "data/prompt_columns.h"

namespace coala {

HelpSteerGroup::HelpSteerGroup(const Row& row) : id_(row.id()), prompt_(row.text("prompt")) {
  append(row);
}

bool HelpSteerGroup::add(const Row& row) {
  if (row.text("prompt") != prompt_) return false;
  if (responses_.size() == kMostResponses) {
    row.fail(fmt::format("more than {} responses in a row to the same prompt", kMostResponses),
             "make the pairs yourself and write them as prompt, chosen, rejected");
  }
  append(row);
  return true;
}

void HelpSteerGroup::append(const Row& row) {
  for (const char* attribute : {"complexity", "verbosity"}) row.mark_read(attribute);  // described, not judged
  double total = 0;
  for (const char* attribute : {"helpfulness", "correctness", "coherence"}) {
    total += row.required_number(attribute, 0, 4);
  }
  responses_.push_back({row.text("response"), total});
}

bool HelpSteerGroup::next(Pair& pair, ReaderCounts& counts) {
  while (first_ + 1 < responses_.size()) {
    const Response& a = responses_[first_];
    const Response& b = responses_[second_];
    if (++second_ == responses_.size()) {
      ++first_;
      second_ = first_ + 1;
    }
    if (a.total == b.total) {
      ++counts.ties;
      continue;
    }
    const bool first_is_better = a.total > b.total;
    pair = Pair();
    pair.id = fmt::format("{}.{}", id_, ++pairs_);
    pair.prompt = {messages_of_text(prompt_), {}};
    pair.chosen = first_is_better ? a.text : b.text;
    pair.rejected = first_is_better ? b.text : a.text;
    pair.margin = std::abs(a.total - b.total);
    return true;
  }
  return false;
}

}  // namespace coala
