#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "study/answer_files.h"
#include "study/study.h"

namespace coala {

/// What was made, and how many answers such a study needs.
nlohmann::ordered_json made_json(const Study& study, const std::string& page, const std::string& key);
std::string made_text(const nlohmann::ordered_json& made);

/// The answers added up, with what was left out.
/// @throws Error{BadInput} when nobody is left
nlohmann::ordered_json study_json(const StudyKey& key, const StudyAnswers& answers, std::uint64_t seed);
std::string study_text(const nlohmann::ordered_json& result);

}  // namespace coala
