#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "head/head.h"

namespace coala {

/// The metadata of a head that belongs to features: format, version, and what it inherits of theirs.
std::map<std::string, std::string> head_metadata(const std::map<std::string, std::string>& features);

/// A head that guides tokens and scores no replies: its network has no neurons.
/// @param dimension  d of the features that it would score
/// @param features   metadata of these, as of a feature file
Head make_guiding_head(TokenHead token, std::size_t dimension, const std::map<std::string, std::string>& features);

/// @throws Error{BadInput} for a head that scores no replies
void check_scores(const Head& head);

}  // namespace coala
