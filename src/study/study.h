#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "study/study_key.h"
#include "tally/reply_rows.h"

namespace coala {

constexpr std::size_t kMostSources = 5;

/// What raters are shown, and how much of it.
struct StudySettings {
  std::vector<std::string> names;  ///< of the sources
  std::string title, question;     ///< UTF-8
  std::string consent;             ///< UTF-8; empty: a text that says what is to be filled in
  std::size_t per_rater = 20;      ///< comparisons, drawn by the page; 0: all
  std::size_t checks = 3;          ///< attention checks, up to kMostAttentionChecks
  std::uint64_t seed = 0;          ///< of ids and of the order of texts: who knows it can tell sources apart
};

struct Study {
  std::string page;  ///< one HTML file
  StudyKey key;
};

/// Makes the page of blind comparisons and its key. Rows whose replies are all the same are not asked, but counted.
/// @param rows  with as many replies as there are names, 2 to kMostSources
/// @throws Error{BadInput} when no row has replies that differ
Study make_study(std::span<const ReplyRow> rows, const StudySettings& settings);

}  // namespace coala
