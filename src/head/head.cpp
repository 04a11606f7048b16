#include "head/head.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>

#include "core/error.h"
#include "core/progress.h"
#include "core/safetensors.h"
#include "features/provenance_keys.h"
#include "features/states_version.h"
#include "head/guiding_head.h"
#include "head/head_format.h"
#include "solver/loss.h"

namespace coala {
namespace {

std::string number(double value) {
  return fmt::format("{:.17g}", value);
}

/// For people: "without an adapter", "with the adapter 'tone.gguf' (3f0c1a22, scale 1)".
std::string describe_adapter(const std::map<std::string, std::string>& metadata) {
  const auto get = [&](const char* key) { return metadata.contains(key) ? metadata.at(key) : std::string(); };
  const std::string hash = get("adapter.hash");
  if (hash.empty()) return "without an adapter";
  return fmt::format("with the adapter '{}' ({}, scale {})", get("adapter.name"), hash.substr(0, 8),
                     get("adapter.scale"));
}

/// Another device is no other feature, but its states are rounded in another way, and nobody should be surprised.
void tell_other_device(const std::string& head_name, const std::string& of_head, const std::string& other_name,
                       const std::string& of_other) {
  if (of_head == of_other) return;
  const auto named = [](const std::string& device) { return device.empty() ? std::string("the CPU, f32") : device; };
  log_warning(
      fmt::format("{} was trained on states of another device ({}) than those of {} ({}): scores differ by what "
                  "the devices round (docs/devices.md)",
                  head_name, named(of_head), other_name, named(of_other)));
}

}  // namespace

double Head::score(std::span<const float> features) const {
  std::vector<float> x(features.size());
  transform.apply(features, std::span<float>(x));
  return network.score(x);
}

double Head::probability(double raw_score) const {
  const std::string slope = value("probability.slope");
  return sigmoid(slope.empty() ? raw_score : std::strtod(slope.c_str(), nullptr) * raw_score);
}

bool Head::bound() const {
  return !value("backbone.hash").empty();
}

std::string Head::value(const std::string& key) const {
  const auto found = metadata.find(key);
  return found == metadata.end() ? std::string() : found->second;
}

Head make_head(const FitResult& fit, const FeatureSet& trained_on) {
  Head head{fit.transform, fit.network, head_metadata(trained_on.metadata)};
  auto& m = head.metadata;
  m["features.fingerprint"] = trained_on.metadata_value("fingerprint");
  if (const std::string control = trained_on.metadata_value("control"); !control.empty()) m["control"] = control;
  m["model_class"] = name_of(fit.model_class);
  m["activation"] = fit.network.gated() ? "gated" : "relu";
  m["loss"] = loss_name(fit.loss);
  m["penalty"] = fit.chosen.linear ? "ridge" : "group";
  m["beta"] = number(fit.chosen.penalty);
  m["phase2.objective"] = name_of(fit.phase_two_settings.objective);
  m["phase2.beta_r"] = number(fit.phase_two_settings.beta_r);
  m["phase2.gamma"] = number(fit.phase_two_settings.gamma);
  m["probability.slope"] =
      number(fit.phase_two_settings.objective == PhaseTwoObjective::Preference ? 1.0 : fit.phase_two_settings.beta_r);
  m["score.mean"] =
      number(trained_on.kind == FeatureKind::Pairs && fit.phase_two_settings.objective != PhaseTwoObjective::Pointwise
                 ? 0.0
                 : fit.score_mean);
  m["score.deviation"] = number(fit.score_deviation);
  m["status"] = status_name(fit.phase_one.status);
  if (!fit.device.empty()) m["solver.device"] = fit.device;
  m["objective"] = number(fit.phase_one.objective);
  if (fit.certificate) {
    m["certificate.objective"] = number(fit.certificate->objective);
    m["certificate.dual_objective"] = number(fit.certificate->dual_objective);
    m["certificate.relative_gap"] = number(fit.certificate->relative_gap);
  }
  return head;
}

void save_head(const Head& head, const std::filesystem::path& path) {
  const std::size_t d = head.dimension();
  const std::size_t m = head.network.neurons();
  const auto transposed = [&](const Matrix<float>& neurons) {
    std::vector<float> values(d * m);
    for (std::size_t j = 0; j < m; ++j) {
      for (std::size_t i = 0; i < d; ++i) values[i * m + j] = neurons(j, i);
    }
    return values;
  };
  SafetensorsWriter writer(path);
  writer.set_metadata(head.metadata);
  writer.declare("theta1", Dtype::F32, {d, m});
  writer.declare("theta2", Dtype::F32, {m});
  writer.declare("bias", Dtype::F32, {1});
  writer.declare("mean", Dtype::F32, {d});
  writer.declare("scale", Dtype::F32, {d});
  if (head.network.gated()) writer.declare("gates", Dtype::F32, {d, m});
  const std::vector<FileTensor> token = head.token ? tensors_of(*head.token) : std::vector<FileTensor>();
  for (const FileTensor& tensor : token) writer.declare(tensor.name, Dtype::F32, tensor.shape);
  writer.append(std::span<const float>(transposed(head.network.theta1)));
  writer.append(std::span<const float>(head.network.theta2));
  writer.append(std::span<const float>(&head.network.bias, 1));
  writer.append(std::span<const float>(head.transform.mean));
  writer.append(std::span<const float>(head.transform.scale));
  if (head.network.gated()) writer.append(std::span<const float>(transposed(head.network.gates)));
  for (const FileTensor& tensor : token) writer.append(tensor.values);
  writer.commit();
}

Head load_head(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  const auto corrupt = [&](const std::string& what) {
    return Error(ErrorCode::CorruptFile, fmt::format("{} is not a valid head: {}", path.string(), what),
                 "name a file that `coala train` or `coala align` wrote");
  };
  Head head;
  head.metadata = file.metadata();
  const std::string format = head.value("coala.format");
  if (format.empty()) throw corrupt("it has no 'coala.format' in its metadata");
  if (format != kHeadFormat) {
    throw Error(ErrorCode::Mismatch,
                fmt::format("{} has the format '{}', this program reads '{}'", path.string(), format, kHeadFormat),
                "train the head again, or use the program version that wrote it");
  }
  const std::string activation = head.value("activation");
  if (activation != "gated" && activation != "relu") {
    throw corrupt(fmt::format("its activation is '{}', expected 'gated' or 'relu'", activation));
  }
  std::set<std::string> expected{"theta1", "theta2", "bias", "mean", "scale"};
  if (activation == "gated") expected.insert("gates");
  for (const auto& [name, tensor] : file.tensors()) {
    if (is_token_tensor(name)) continue;
    if (!expected.contains(name)) throw corrupt(fmt::format("it has an unexpected tensor '{}'", name));
  }
  const auto read = [&](const std::string& name, const std::vector<std::size_t>& shape) {
    const TensorView& tensor = file.tensor(name);
    if (tensor.dtype != Dtype::F32 || tensor.shape != shape) {
      throw corrupt(fmt::format("the tensor '{}' has the wrong type or shape", name));
    }
    std::vector<float> values = file.read_f32(name);
    for (const float value : values) {
      if (!std::isfinite(value)) throw corrupt(fmt::format("the tensor '{}' holds a number that is not finite", name));
    }
    return values;
  };
  const std::vector<std::size_t> shape = file.tensor("theta1").shape;
  if (shape.size() != 2 || shape[0] == 0) throw corrupt("the tensor 'theta1' is not a matrix with rows");
  const std::size_t d = shape[0];
  const std::size_t m = shape[1];
  const auto neurons = [&](const std::vector<float>& values) {
    Matrix<float> matrix(m, d);
    for (std::size_t i = 0; i < d; ++i) {
      for (std::size_t j = 0; j < m; ++j) matrix(j, i) = values[i * m + j];
    }
    return matrix;
  };
  head.network.theta1 = neurons(read("theta1", {d, m}));
  head.network.theta2 = read("theta2", {m});
  head.network.bias = read("bias", {1}).front();
  head.transform.mean = read("mean", {d});
  head.transform.scale = read("scale", {d});
  if (activation == "gated") head.network.gates = neurons(read("gates", {d, m}));
  const bool with_token =
      std::ranges::any_of(file.tensors(), [](const auto& entry) { return is_token_tensor(entry.first); });
  if (with_token) head.token = read_token_head(file);
  const std::string slope = head.value("probability.slope");
  if (!slope.empty()) {
    char* end = nullptr;
    const double value = std::strtod(slope.c_str(), &end);
    if (*end != '\0' || !(value > 0) || !std::isfinite(value)) {
      throw corrupt(fmt::format("its probability.slope is '{}', expected a number above 0", slope));
    }
  }
  return head;
}

void check_head_matches(const Head& head, const std::filesystem::path& head_path, std::size_t dimension,
                        const std::map<std::string, std::string>& metadata, const std::string& other_name,
                        bool allow_unbound) {
  if (head.dimension() != dimension) {
    throw Error(ErrorCode::Mismatch,
                fmt::format("{} was trained on features of dimension {}, {} has dimension {}", head_path.string(),
                            head.dimension(), other_name, dimension),
                "use the model that the head was trained with");
  }
  const bool other_bound = metadata.contains("backbone.hash");
  if (!head.bound() || !other_bound) {
    // Two foreign feature files may well belong together; only a claim that cannot be checked is refused.
    if (allow_unbound || (!head.bound() && !other_bound)) return;
    throw Error(
        ErrorCode::Mismatch,
        fmt::format("{} does not say which model its features come from, so it cannot be checked against {}",
                    head.bound() ? other_name : head_path.string(), head.bound() ? head_path.string() : other_name),
        "pass --allow-unbound if you know that they belong together");
  }
  check_states_version(head.metadata, head_path.string(), "head");
  check_states_version(metadata, other_name, "file");
  for (const ProvenanceKey& entry : kProvenanceKeys) {
    const std::string key(entry.key);
    const auto found = metadata.find(key);
    const std::string other = found == metadata.end() ? "" : found->second;
    const std::string own = head.value(key);
    if (!entry.binds || own == other) continue;
    if (key.starts_with("adapter.")) {
      throw Error(ErrorCode::Mismatch,
                  fmt::format("{} was trained {}, {} is used {}", head_path.string(), describe_adapter(head.metadata),
                              other_name, describe_adapter(metadata)),
                  "use the adapter that the head was trained with (--lora, --lora-scale), or train it again");
    }
    std::string detail;
    if (key == "backbone.hash") {
      const auto describe = [](const std::map<std::string, std::string>& from) {
        const auto get = [&](const char* k) { return from.contains(k) ? from.at(k) : std::string("?"); };
        return fmt::format("{} {}", get("backbone.name"), get("backbone.quantization"));
      };
      detail = fmt::format(" ({} against {})", describe(head.metadata), describe(metadata));
    }
    throw Error(ErrorCode::Mismatch,
                fmt::format("{} was trained with another {}: the head has '{}', {} has '{}'{}", head_path.string(),
                            entry.what, own, other_name, other, detail),
                "use the model and the settings that the head was trained with, or train it again");
  }
  constexpr const char* kDevice = "feature.device";
  tell_other_device(head_path.string(), head.value(kDevice), other_name,
                    metadata.contains(kDevice) ? metadata.at(kDevice) : std::string());
}

}  // namespace coala
