#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "features/token_basis.h"

namespace coala {

/// The numbers of lessons, beside the texts that they were made of: without them the model would evaluate every text
/// anew when a server begins. A file that is lost or damaged costs that time and nothing else.
class LessonStore {
 public:
  explicit LessonStore(std::filesystem::path path) : path_(std::move(path)) {}

  /// Reads what is kept, if it was made for the same.
  bool open(const std::string& made_for);
  /// Begins anew.
  void begin(std::string made_for, TokenBasis basis, double entropy);

  const TokenBasis& basis() const { return basis_; }
  double entropy() const { return entropy_; }
  /// The sums of a text; null: they are not kept.
  const std::vector<float>* find(std::string_view text) const;
  void add(std::string_view text, std::vector<float> sums);
  void remove(std::string_view text);
  /// Writes the file, if there is anything new. What cannot be written is said, and is no error.
  void save();

 private:
  std::filesystem::path path_;
  std::string made_for_;
  TokenBasis basis_;
  double entropy_ = 0;
  std::map<std::string, std::vector<float>> sums_;  ///< by the text's hash
  bool is_saved_ = false;
};

}  // namespace coala
