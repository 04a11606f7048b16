#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace coala {

/// What holds a feature store together: a folder of feature files, each complete in itself, whose rows follow one
/// another, and this index ("index.json"), which is written last.
struct FeatureIndex {
  struct File {
    std::string name;  ///< inside the folder
    std::uint64_t rows = 0;
    std::string checksum;  ///< the file's kDataChecksum
  };
  std::map<std::string, std::string> metadata;  ///< of the whole, as a single feature file would have it
  std::uint64_t rows = 0;
  std::uint64_t max_file_bytes = 0;  ///< of numbers in a file, as was asked for
  std::vector<File> files;           ///< in the order of their rows
};

/// Where a store's index is.
std::filesystem::path feature_index_path(const std::filesystem::path& store);

/// The name of file `i` of `count`, counted from 0: "features-00001-of-00003.safetensors".
std::string feature_file_name(std::size_t i, std::size_t count);

void write_feature_index(const std::filesystem::path& store, const FeatureIndex& index);

/// @throws Error{BadInput} when the folder has no index, Error{CorruptFile} when it is not what
///   write_feature_index() writes: another format, fields missing or of the wrong type, rows that do not add up, a
///   file's name that leads out of the folder
FeatureIndex read_feature_index(const std::filesystem::path& store);

}  // namespace coala
