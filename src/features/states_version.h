#pragma once

#include <map>
#include <string>

namespace coala {

/// Are the features that the metadata tells of computed as this program computes them?
/// @param path  of the file, and `kind`, what it is: for the message
/// @throws Error{Mismatch} when they are of another kStatesVersion (core/version.h)
void check_states_version(const std::map<std::string, std::string>& metadata, const std::string& path,
                          const std::string& kind);

}  // namespace coala
