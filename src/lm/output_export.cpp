#include "lm/output_export.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <ggml.h>
#include <gguf.h>
#include <llama.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <memory>
#include <vector>

#include "core/atomic_file.h"
#include "core/error.h"
#include "lm/session.h"

namespace coala {
namespace {

constexpr const char* kOutput = "output.weight";
constexpr std::size_t kCopy_bytes = std::size_t{1} << 20;

struct FreeGguf {
  void operator()(gguf_context* file) const { gguf_free(file); }
};
struct FreeGgml {
  void operator()(ggml_context* context) const { ggml_free(context); }
};
using Gguf = std::unique_ptr<gguf_context, FreeGguf>;
using Ggml = std::unique_ptr<ggml_context, FreeGgml>;

/// Memory for the descriptions of tensors; none for their numbers.
Ggml tensor_descriptions(std::size_t count) {
  ggml_init_params params{};
  params.mem_size = count * ggml_tensor_overhead();
  params.no_alloc = true;
  return Ggml(ggml_init(params));
}

ggml_tensor* describe(ggml_context* context, const char* name, ggml_type type, std::size_t columns, std::size_t rows) {
  ggml_tensor* tensor =
      ggml_new_tensor_2d(context, type, static_cast<std::int64_t>(columns), static_cast<std::int64_t>(rows));
  ggml_set_name(tensor, name);
  return tensor;
}

/// The header of the model with an output matrix of its own.
/// @param name  of the model; "": as it is
Gguf untied_header(const Backbone& backbone, ggml_type type, const std::string& name) {
  ggml_context* found = nullptr;
  const Gguf original(gguf_init_from_file(backbone.path().c_str(), {/*no_alloc=*/true, &found}));
  const Ggml of_original(found);
  if (!original) throw Error(ErrorCode::CorruptFile, fmt::format("cannot read {} again", backbone.path().string()));
  const Ggml context = tensor_descriptions(1);
  const BackboneIdentity& model = backbone.identity();
  ggml_tensor* changed = describe(context.get(), kOutput, type, model.dimension, model.vocabulary);
  Gguf header(gguf_init_empty());
  gguf_set_kv(header.get(), original.get());
  if (!name.empty()) gguf_set_val_str(header.get(), "general.name", name.c_str());
  bool has_output = false;
  for (const GgufTensor& tensor : backbone.file().tensors) {
    const bool is_output = tensor.name == kOutput;
    has_output = has_output || is_output;
    gguf_add_tensor(header.get(), is_output ? changed : ggml_get_tensor(of_original.get(), tensor.name.c_str()));
  }
  if (!has_output) gguf_add_tensor(header.get(), changed);
  return header;
}

Error always_tied(const Backbone& backbone) {
  return Error(ErrorCode::BadInput,
               fmt::format("the output matrix of {} is its embedding, and llama.cpp reads models of its architecture "
                           "({}) in no other way: there is no file that holds the change",
                           backbone.identity().name, backbone.identity().architecture),
               "guide it with `coala generate --guidance token`, which needs no such file");
}

/// Writes a header, then tensors one after the other, each padded to the file's alignment.
class GgufWriter {
 public:
  GgufWriter(const Gguf& header, const std::filesystem::path& path)
      : file_(path), alignment_(gguf_get_alignment(header.get())) {
    std::vector<std::byte> meta(gguf_get_meta_size(header.get()));
    gguf_get_meta_data(header.get(), meta.data());
    file_.write(meta.data(), meta.size());
  }
  void append(const void* data, std::size_t bytes) {
    file_.write(data, bytes);
    written_ += bytes;
  }
  void end_tensor() {
    const std::vector<std::byte> zeros((alignment_ - written_ % alignment_) % alignment_);
    append(zeros.data(), zeros.size());
  }
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
  std::size_t alignment_;
  std::size_t written_ = 0;
};

/// Copies bytes [at, at + count) of a file.
void copy_bytes(std::ifstream& from, std::uint64_t at, std::uint64_t count, GgufWriter& to,
                const std::filesystem::path& path) {
  std::vector<char> buffer(kCopy_bytes);
  from.seekg(static_cast<std::streamoff>(at));
  while (count > 0) {
    const std::uint64_t step = std::min<std::uint64_t>(count, kCopy_bytes);
    if (!from.read(buffer.data(), static_cast<std::streamsize>(step))) {
      throw Error(ErrorCode::Io, fmt::format("cannot read {} to its end", path.string()));
    }
    to.append(buffer.data(), step);
    count -= step;
  }
}

/// Row c of E + B A.
void changed_row(const OutputMatrix& output, const OutputChange& change, std::size_t c, std::span<float> row) {
  output.read(c, row);
  for (std::size_t k = 0; k < change.a.rows(); ++k) {
    for (std::size_t j = 0; j < row.size(); ++j) row[j] += change.b(c, k) * change.a(k, j);
  }
}

/// @throws Error{BadInput} when rows do not go into whole blocks
ggml_type stored_as(MergedType merged, const OutputMatrix& output) {
  if (merged == MergedType::Full) return output.type() == GGML_TYPE_F32 ? GGML_TYPE_F32 : GGML_TYPE_F16;
  const ggml_type type = merged == MergedType::Q8_0 ? GGML_TYPE_Q8_0 : GGML_TYPE_Q6_K;
  const auto block = static_cast<std::size_t>(ggml_blck_size(type));
  if (output.dimension() % block == 0) return type;
  throw Error(ErrorCode::BadInput,
              fmt::format("{} stores blocks of {} numbers, and a row of the output matrix has {}", ggml_type_name(type),
                          block, output.dimension()),
              type == GGML_TYPE_Q6_K ? "use --quantise q8_0" : "leave --quantise out");
}

void append_changed_matrix(const OutputMatrix& output, const OutputChange& change, ggml_type type, GgufWriter& writer) {
  std::vector<float> row(output.dimension());
  std::vector<ggml_fp16_t> half(row.size());
  std::vector<std::byte> blocks(ggml_row_size(type, static_cast<std::int64_t>(row.size())));
  for (std::size_t c = 0; c < output.vocabulary(); ++c) {
    changed_row(output, change, c, row);
    if (type == GGML_TYPE_F32) {
      writer.append(row.data(), row.size() * sizeof(float));
      continue;
    }
    for (const float value : row) {
      if (std::abs(value) <= 65504.0f) continue;
      throw Error(ErrorCode::BadInput,
                  fmt::format("the changed output matrix holds {}, which does not fit into F16", value),
                  "use a smaller --guidance-scale, or a model with an output matrix in F32");
    }
    if (type == GGML_TYPE_F16) {
      ggml_fp32_to_fp16_row(row.data(), half.data(), static_cast<std::int64_t>(row.size()));
      writer.append(half.data(), half.size() * sizeof(ggml_fp16_t));
    } else {
      writer.append(blocks.data(), ggml_quantize_chunk(type, row.data(), blocks.data(), 0, 1,
                                                       static_cast<std::int64_t>(row.size()), nullptr));
    }
  }
  writer.end_tensor();
}

/// Does llama.cpp find every tensor that it wants in the file, and no others?
bool loads_without_numbers(const std::filesystem::path& path) {
  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = 0;
  params.no_alloc = true;
  params.load_mode = LLAMA_LOAD_MODE_NONE;
  try {
    llama_model* model = llama_model_load_from_file(path.c_str(), params);
    if (model != nullptr) llama_model_free(model);
    return model != nullptr;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception&) {
    return false;
  }
}

/// Whether the written model gives the logits of the changed matrix: some architectures ignore one of their own.
void check_merged(const std::filesystem::path& path, const OutputMatrix& output, const OutputChange& change) {
  const Backbone merged{ModelFile(path)};
  const OutputMatrix written(merged);
  std::vector<float> expected(output.dimension());
  std::vector<float> found(output.dimension());
  double difference = 0;
  double size = 0;
  for (std::size_t c = 0; c < output.vocabulary(); c += 97) {
    changed_row(output, change, c, expected);
    written.read(c, found);
    for (std::size_t j = 0; j < found.size(); ++j) {
      difference += static_cast<double>(found[j] - expected[j]) * static_cast<double>(found[j] - expected[j]);
      size += static_cast<double>(expected[j]) * static_cast<double>(expected[j]);
    }
  }
  constexpr double kRounding = 1e-2;  // of the blocks of six bits; F16 has 1e-7, a file that lacks the change far more
  if (!written.tied() && difference <= kRounding * size) return;
  throw Error(ErrorCode::Internal, fmt::format("{} does not hold the changed output matrix", path.string()));
}

}  // namespace

bool can_have_own_output(const Backbone& backbone, const std::filesystem::path& path) {
  const Gguf header = untied_header(backbone, GGML_TYPE_F16, "");
  std::uint64_t bytes = gguf_get_meta_size(header.get());
  for (std::int64_t i = 0; i < gguf_get_n_tensors(header.get()); ++i) {
    bytes += GGML_PAD(gguf_get_tensor_size(header.get(), i), gguf_get_alignment(header.get()));
  }
  const std::filesystem::path probe = path.string() + ".probe";
  std::error_code ignored;
  bool loads = false;
  try {
    AtomicFile file(probe);
    std::vector<std::byte> meta(gguf_get_meta_size(header.get()));
    gguf_get_meta_data(header.get(), meta.data());
    file.write(meta.data(), meta.size());
    file.commit();
    std::error_code error;
    std::filesystem::resize_file(probe, bytes, error);  // a hole: it takes no room
    if (error) {
      throw Error(ErrorCode::Io, fmt::format("cannot write {}: {}", probe.string(), error.message()),
                  "name an --out in another file system");
    }
    loads = loads_without_numbers(probe);
  } catch (...) {
    std::filesystem::remove(probe, ignored);
    throw;
  }
  std::filesystem::remove(probe, ignored);
  return loads;
}

void write_lora(const Backbone& backbone, const OutputMatrix& output, const OutputChange& change,
                const std::string& name, const std::filesystem::path& path) {
  if (output.tied()) {
    if (!can_have_own_output(backbone, path)) throw always_tied(backbone);
    throw Error(
        ErrorCode::BadInput,
        fmt::format("the output matrix of {} is its embedding: an adapter on it would change what the model reads "
                    "as well, and llama.cpp refuses it",
                    backbone.identity().name),
        "use --format gguf, which writes a model with an output matrix of its own");
  }
  const std::size_t r = change.a.rows();
  const Ggml context = tensor_descriptions(2);
  const Gguf header(gguf_init_empty());
  gguf_set_val_str(header.get(), "general.type", "adapter");
  gguf_set_val_str(header.get(), "general.architecture", backbone.identity().architecture.c_str());
  gguf_set_val_str(header.get(), "general.name", name.c_str());
  gguf_set_val_str(header.get(), "adapter.type", "lora");
  gguf_set_val_f32(header.get(), "adapter.lora.alpha", static_cast<float>(r));  // so that the factor alpha / r is 1
  gguf_add_tensor(header.get(), describe(context.get(), "output.weight.lora_a", GGML_TYPE_F32, output.dimension(), r));
  gguf_add_tensor(header.get(), describe(context.get(), "output.weight.lora_b", GGML_TYPE_F32, r, output.vocabulary()));
  GgufWriter writer(header, path);
  writer.append(change.a.data(), change.a.values().size_bytes());
  writer.end_tensor();
  writer.append(change.b.data(), change.b.values().size_bytes());
  writer.end_tensor();
  writer.commit();
}

void write_merged(const Backbone& backbone, const OutputMatrix& output, const OutputChange& change, MergedType merged,
                  const std::string& name, const std::filesystem::path& path) {
  if (backbone.adapter() != nullptr) {
    throw Error(ErrorCode::BadInput, "a model with an adapter cannot be merged with the guidance alone",
                "merge the adapter first, or use --format lora and give llama.cpp both adapters");
  }
  std::error_code ignored;
  if (std::filesystem::equivalent(backbone.path(), path, ignored)) {
    throw Error(ErrorCode::BadUsage, fmt::format("{} is the model itself", path.string()), "name another --out");
  }
  if (output.tied() && !can_have_own_output(backbone, path)) throw always_tied(backbone);
  const std::vector<GgufTensor>& tensors = backbone.file().tensors;
  const ggml_type type = stored_as(merged, output);
  const Gguf header = untied_header(backbone, type, name);
  const bool has_output = std::ranges::find(tensors, kOutput, &GgufTensor::name) != tensors.end();

  const std::filesystem::path unchecked = path.string() + ".unchecked";
  try {
    GgufWriter writer(header, unchecked);
    std::ifstream source(backbone.path(), std::ios::binary);
    for (const GgufTensor& tensor : tensors) {
      if (tensor.name == kOutput) {
        append_changed_matrix(output, change, type, writer);
      } else {
        copy_bytes(source, tensor.at, tensor.bytes, writer, backbone.path());
        writer.end_tensor();
      }
    }
    if (!has_output) append_changed_matrix(output, change, type, writer);
    writer.commit();
    check_merged(unchecked, output, change);
    std::error_code error;
    std::filesystem::rename(unchecked, path, error);
    if (error) {
      throw Error(ErrorCode::Io,
                  fmt::format("cannot rename {} to {}: {}", unchecked.string(), path.string(), error.message()),
                  "check that the folder exists and may be written");
    }
  } catch (...) {
    std::filesystem::remove(unchecked, ignored);
    throw;
  }
}

}  // namespace coala
