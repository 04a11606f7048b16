#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "study/study_key.h"
#include "tally/study_table.h"

namespace coala {

/// What raters' files hold.
struct StudyAnswers {
  std::vector<StudyRater> raters;           ///< that are counted, named by their files
  std::vector<StudyRater> inattentive;      ///< those who answered an attention check wrongly
  std::vector<std::string> without_answer;  ///< files
  std::vector<std::string> unfinished;      ///< files of raters who are counted with what they answered
  std::vector<std::string> replaced;        ///< files that hold an earlier state of a rater's answers
};

/// Reads the answers to a study, as its page saves them. Nothing in such a file is trusted. Of several files of one
/// rater the one that was saved last counts.
/// @param names  files, or folders with files *.json
/// @throws Error{BadInput} naming the file and what is wrong in it; Error{Mismatch} when it is of another study, or
///   when two files of one rater have gone different ways
StudyAnswers read_study_answers(const std::vector<std::string>& names, const StudyKey& key);

}  // namespace coala
