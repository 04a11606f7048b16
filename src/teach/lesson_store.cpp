#include "teach/lesson_store.h"

#include <fmt/format.h>

#include <cstdlib>
#include <exception>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/progress.h"
#include "core/safetensors.h"

namespace coala {
namespace {

constexpr const char* kMadeFor = "made_for";
constexpr const char* kEntropy = "entropy";
constexpr const char* kSums = "sums/";  // then the text's hash

std::string key_of(std::string_view text) {
  return kSums + hash_text(std::string(text));
}

}  // namespace

bool LessonStore::open(const std::string& made_for) {
  if (!std::filesystem::exists(path_)) return false;
  try {
    const SafetensorsFile file(path_);
    const auto found = file.metadata().find(kMadeFor);
    if (found == file.metadata().end() || found->second != made_for) return false;
    basis_ = read_token_basis(file);
    const auto entropy = file.metadata().find(kEntropy);
    entropy_ = entropy == file.metadata().end() ? 0 : std::strtod(entropy->second.c_str(), nullptr);
    sums_.clear();
    for (const auto& [name, tensor] : file.tensors()) {
      if (name.starts_with(kSums) && tensor.count() == basis_.width()) sums_[name] = file.read_f32(name);
    }
    made_for_ = made_for;
    is_saved_ = true;
    return entropy_ > 0;
  } catch (const Error& error) {
    log_warning(fmt::format("{}; what is kept of lessons is made again", error.what()));
    return false;
  }
}

void LessonStore::begin(std::string made_for, TokenBasis basis, double entropy) {
  made_for_ = std::move(made_for);
  basis_ = std::move(basis);
  entropy_ = entropy;
  sums_.clear();
  is_saved_ = false;
}

const std::vector<float>* LessonStore::find(std::string_view text) const {
  const auto found = sums_.find(key_of(text));
  return found == sums_.end() ? nullptr : &found->second;
}

void LessonStore::add(std::string_view text, std::vector<float> sums) {
  is_saved_ = is_saved_ && !sums_.insert_or_assign(key_of(text), std::move(sums)).second;
}

void LessonStore::remove(std::string_view text) {
  if (sums_.erase(key_of(text)) > 0) is_saved_ = false;
}

void LessonStore::save() {
  if (is_saved_) return;
  try {
    SafetensorsWriter writer(path_);
    writer.set_metadata({{kMadeFor, made_for_}, {kEntropy, fmt::format("{}", entropy_)}});
    for (const auto& [name, sums] : sums_) writer.declare(name, Dtype::F32, {sums.size()});
    for (const FileTensor& tensor : tensors_of(basis_)) writer.declare(tensor.name, Dtype::F32, tensor.shape);
    for (const auto& [name, sums] : sums_) writer.append(std::span<const float>(sums));
    for (const FileTensor& tensor : tensors_of(basis_)) writer.append(tensor.values);
    writer.commit();
    is_saved_ = true;
  } catch (const std::exception& error) {
    log_warning(error.what());
  }
}

}  // namespace coala
