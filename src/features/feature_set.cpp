#include "features/feature_set.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <numeric>

#include "core/error.h"
#include "core/safetensors.h"
#include "features/feature_checks.h"
#include "features/feature_index.h"
#include "features/states_version.h"

namespace coala {
namespace {

class Loader {
 public:
  explicit Loader(const std::filesystem::path& path) : file_(path) {}

  /// As the file states it; "" when it does not.
  std::string stated_checksum() const {
    const auto stored = file_.metadata().find(kDataChecksum);
    return stored == file_.metadata().end() ? std::string() : stored->second;
  }

  FeatureSet load() {
    FeatureSet set;
    set.path = file_.path().string();
    set.metadata = file_.metadata();
    check_data();
    // Only what coala extracted names its engine; features that another program made are taken as they are.
    if (set.metadata.contains("backbone.engine")) check_states_version(set.metadata, set.path, "file");
    set.metadata.erase(kDataChecksum);  // of the file, not of what it describes
    const bool pairs = file_.contains("chosen") || file_.contains("rejected");
    const bool labelled = file_.contains("features") || file_.contains("labels");
    if (pairs && labelled) {
      throw corrupt("it holds both pairs ('chosen', 'rejected') and labelled rows ('features', 'labels')");
    }
    if (!pairs && !labelled) {
      std::vector<std::string> names;
      for (const auto& [name, view] : file_.tensors()) names.push_back(name);
      throw corrupt(fmt::format("it has neither 'chosen' and 'rejected' nor 'features' and 'labels'; it has: {}",
                                names.empty() ? "nothing" : fmt::format("{}", fmt::join(names, ", "))));
    }
    if (pairs) {
      set.kind = FeatureKind::Pairs;
      set.chosen = map_rows("chosen");
      set.rejected = map_rows("rejected");
      if (set.rejected.rows() != set.chosen.rows() || set.rejected.cols() != set.chosen.cols()) {
        throw corrupt(fmt::format("'chosen' is [{}, {}] and 'rejected' is [{}, {}]; they must agree", set.chosen.rows(),
                                  set.chosen.cols(), set.rejected.rows(), set.rejected.cols()));
      }
      if (set.chosen.dtype() != set.rejected.dtype()) {  // programs want their rows alike
        set.chosen = set.chosen.matrix();
        set.rejected = set.rejected.matrix();
      }
      rows_ = set.chosen.rows();
      set.length_chosen = read_lengths("length_chosen");
      set.length_rejected = read_lengths("length_rejected");
    } else {
      set.kind = FeatureKind::Labelled;
      set.features = map_rows("features");
      rows_ = set.features.rows();
      for (const std::int64_t label : read_integers("labels")) {
        check_label(label, set.labels.size(), set.path);
        set.labels.push_back(static_cast<std::int8_t>(label));
      }
      set.length = read_lengths("length");
    }
    read_token_sums(set);
    set.has_prompt_id = file_.contains("prompt_id");
    if (set.has_prompt_id) {
      set.prompt_id = read_integers("prompt_id");
    } else {
      set.prompt_id.resize(rows_);
      std::iota(set.prompt_id.begin(), set.prompt_id.end(), 0);
    }
    set.prefix_tokens = read_lengths("prefix_tokens");
    set.weight = read_column("weight");
    check_weights(set.weight, set.path);
    set.margin = read_column("margin");
    return set;
  }

 private:
  /// Reading everything costs what the checks below cost anyway: a pass at the speed of memory.
  void check_data() const {
    const std::string stated = stated_checksum();
    if (stated.empty()) return;
    Hasher hasher;
    for (const auto& [name, view] : file_.tensors()) add_to_checksum(hasher, name, view.bytes);
    if (hasher.hex() == stated) return;
    throw Error(ErrorCode::CorruptFile,
                fmt::format("{} is damaged: its numbers have the checksum {}, {} was written", file_.path().string(),
                            hasher.hex(), stated),
                "make it again with `coala extract`, or copy it again from where it came");
  }

  Error corrupt(const std::string& what) const {
    return Error(ErrorCode::CorruptFile, fmt::format("{} is not a feature file: {}", file_.path().string(), what),
                 "make one with `coala extract`");
  }

  StoredRows map_rows(const std::string& name) const {
    const TensorView& view = file_.tensor(name);
    if (view.shape.size() != 2 || view.shape[0] == 0 || view.shape[1] == 0) {
      throw corrupt(
          fmt::format("'{}' has the shape [{}]; [n, d] with n, d >= 1 is needed", name, fmt::join(view.shape, ", ")));
    }
    const bool usable = view.dtype == Dtype::F32 || view.dtype == Dtype::F16 || view.dtype == Dtype::BF16;
    const bool aligned = reinterpret_cast<std::uintptr_t>(view.bytes.data()) % dtype_bytes(view.dtype) == 0;
    StoredRows rows;
    if (usable && aligned) {
      rows = StoredRows(view.dtype, view.shape[0], view.shape[1], view.bytes.data(), file_.owner());
    } else {
      Matrix<float> converted(view.shape[0], view.shape[1]);
      file_.read_f32(name, converted.values());
      rows = StoredRows(std::move(converted));
    }
    check_finite(rows, name, file_.path().string());
    return rows;
  }

  void read_token_sums(FeatureSet& set) const {
    if (!has_token_basis(file_)) return;
    set.token_basis = std::make_shared<const TokenBasis>(read_token_basis(file_));
    const auto read = [&](const char* name) {
      StoredRows rows = map_rows(name);
      if (rows.rows() == rows_ && rows.cols() == set.token_basis->width()) return rows;
      throw corrupt(fmt::format("'{}' is [{}, {}]; [{}, {}] is needed", name, rows.rows(), rows.cols(), rows_,
                                set.token_basis->width()));
    };
    if (set.kind == FeatureKind::Pairs) {
      set.token_sums_chosen = read("token_sums_chosen");
      set.token_sums_rejected = read("token_sums_rejected");
    } else {
      set.token_sums = read("token_sums");
    }
  }

  void check_column(const std::string& name) const {
    const TensorView& view = file_.tensor(name);
    if (view.shape.size() != 1 || view.shape[0] != rows_) {
      throw corrupt(fmt::format("'{}' has the shape [{}]; [{}] is needed", name, fmt::join(view.shape, ", "), rows_));
    }
  }

  std::vector<std::int64_t> read_integers(const std::string& name) const {
    check_column(name);
    return file_.read_i64(name);
  }

  std::vector<std::int32_t> read_lengths(const std::string& name) const {
    std::vector<std::int32_t> lengths;
    if (!file_.contains(name)) return lengths;
    for (const std::int64_t length : read_integers(name)) {
      check_length(length, lengths.size(), name, file_.path().string());
      lengths.push_back(static_cast<std::int32_t>(length));
    }
    return lengths;
  }

  std::vector<float> read_column(const std::string& name) const {
    if (!file_.contains(name)) return {};
    check_column(name);
    std::vector<float> values = file_.read_f32(name);
    check_finite(values, name, file_.path().string());
    return values;
  }

  SafetensorsFile file_;
  std::size_t rows_ = 0;
};

template <class T>
void append(std::vector<T>& to, const std::vector<T>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

/// Whether both have the same columns, of the same width and type.
bool same_columns(const FeatureSet& a, const FeatureSet& b) {
  const StoredRows& x = a.kind == FeatureKind::Pairs ? a.chosen : a.features;
  const StoredRows& y = b.kind == FeatureKind::Pairs ? b.chosen : b.features;
  return a.kind == b.kind && x.cols() == y.cols() && x.dtype() == y.dtype() && a.has_prompt_id == b.has_prompt_id &&
         a.length_chosen.empty() == b.length_chosen.empty() && a.length_rejected.empty() == b.length_rejected.empty() &&
         a.length.empty() == b.length.empty() && a.prefix_tokens.empty() == b.prefix_tokens.empty() &&
         a.weight.empty() == b.weight.empty() && a.margin.empty() == b.margin.empty() &&
         (a.token_basis ? a.token_basis->hash() : "") == (b.token_basis ? b.token_basis->hash() : "");
}

void append_rows(FeatureSet& set, const FeatureSet& more) {
  set.chosen = set.chosen.joined_with(more.chosen);
  set.rejected = set.rejected.joined_with(more.rejected);
  set.features = set.features.joined_with(more.features);
  if (set.token_basis) {
    set.token_sums_chosen = set.token_sums_chosen.joined_with(more.token_sums_chosen);
    set.token_sums_rejected = set.token_sums_rejected.joined_with(more.token_sums_rejected);
    set.token_sums = set.token_sums.joined_with(more.token_sums);
  }
  append(set.labels, more.labels);
  append(set.prompt_id, more.prompt_id);
  append(set.length_chosen, more.length_chosen);
  append(set.length_rejected, more.length_rejected);
  append(set.length, more.length);
  append(set.prefix_tokens, more.prefix_tokens);
  append(set.weight, more.weight);
  append(set.margin, more.margin);
}

FeatureSet load_store(const std::filesystem::path& store) {
  const FeatureIndex index = read_feature_index(store);
  FeatureSet set;
  for (const FeatureIndex::File& file : index.files) {
    const std::filesystem::path path = store / file.name;
    const auto corrupt = [&path, &store](const std::string& what) {
      return Error(ErrorCode::CorruptFile,
                   fmt::format("{} {} {}", path.string(), what, feature_index_path(store).string()),
                   "make the store again with `coala extract`, or copy all of it again from where it came");
    };
    if (!std::filesystem::exists(path)) throw corrupt("is missing; it is named in");
    Loader loader(path);
    FeatureSet part = loader.load();
    if (part.rows() != file.rows || loader.stated_checksum() != file.checksum) {
      throw corrupt("is not the file that is described in");
    }
    if (set.rows() == 0) {
      set = std::move(part);
      continue;
    }
    if (!same_columns(set, part)) throw corrupt("has other columns than the first file in");
    append_rows(set, part);
  }
  set.metadata = index.metadata;
  set.path = store.string();
  if (!set.has_prompt_id) std::iota(set.prompt_id.begin(), set.prompt_id.end(), 0);
  return set;
}

}  // namespace

void add_to_checksum(Hasher& hasher, const std::string& name, std::span<const std::byte> bytes) {
  hasher.add(name).add(bytes.data(), bytes.size());
}

bool FeatureSet::bound() const {
  for (const char* key : {"fingerprint", "backbone.hash", "tokenizer.hash", "template.hash", "pooling"}) {
    if (metadata_value(key).empty()) return false;
  }
  return true;
}

std::string FeatureSet::metadata_value(const std::string& key) const {
  const auto found = metadata.find(key);
  return found == metadata.end() ? std::string() : found->second;
}

FeatureSet load_features(const std::filesystem::path& path) {
  return std::filesystem::is_directory(path) ? load_store(path) : Loader(path).load();
}

}  // namespace coala
