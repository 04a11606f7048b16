#include "lm/gguf_file.h"

#include <fmt/format.h>
#include <ggml.h>
#include <gguf.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <set>
#include <unordered_set>

#include "core/error.h"
#include "core/hash.h"

namespace coala {
namespace {

/// Largest key and tensor name that llama.cpp accepts or that any real file has.
constexpr std::uint64_t kLongestKey = 65535;
constexpr std::int64_t kSmallestAlignment = 8;  // llama.cpp needs that much of its buffers
constexpr std::uint64_t kLargestAlignment = 1 << 20;
/// Several times those of the largest models; llama.cpp looks each one up among all.
constexpr std::uint64_t kMostTensors = 20'000;
/// llama.cpp keeps per-layer values in arrays of this size (LLAMA_MAX_LAYERS).
constexpr std::int64_t kMostLayers = 512;

/// What the user meant the file to be, for messages.
struct Purpose {
  const char* noun;    ///< "model"
  const char* option;  ///< that names it
  const char* other_format;
  const char* without_tensors;
};
constexpr Purpose kModel{"model", "--model",
                         "name a .gguf file, as llama.cpp uses it; other formats must be converted first",
                         "holds a vocabulary only, no weights"};
constexpr Purpose kAdapter{"adapter", "--lora", "convert the adapter with llama.cpp's convert_lora_to_gguf.py first",
                           "holds no tensors"};

class HeaderReader {
 public:
  HeaderReader(const std::filesystem::path& path, const Purpose& purpose) : path_(path), purpose_(purpose) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) throw unreadable("it is a folder");
    // A pipe would be waited for for ever, and cannot be mapped.
    if (std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error)) {
      throw unreadable("it is not a regular file");
    }
    file_.reset(std::fopen(path.c_str(), "rb"));
    if (!file_) throw unreadable(std::strerror(errno));
    size_ = std::filesystem::file_size(path, error);
    if (error) throw unreadable(error.message());
  }

  GgufFile model() {
    read();
    check_model();
    return std::move(result_);
  }

  GgufFile adapter() {
    read();
    check_adapter();
    return std::move(result_);
  }

  GgufFile any() {
    read();
    if (result_.text("general.type") == "adapter") {
      check_adapter();
    } else {
      check_model();
    }
    return std::move(result_);
  }

 private:
  void read() {
    std::array<char, 4> magic{};
    if (size_ < 24) throw not_gguf(fmt::format("it has {} bytes, the shortest header has 24", size_));
    read_bytes(magic.data(), magic.size());
    if (std::memcmp(magic.data(), "GGUF", 4) != 0) throw not_gguf("it does not start with the letters GGUF");
    const auto version = number<std::uint32_t>();
    if (version != 2 && version != 3) {
      throw not_gguf((version & 0xffffu) == 0 ? "it is written for big-endian machines"
                                              : fmt::format("its version is {}; 2 and 3 are known", version));
    }
    const auto tensor_count = number<std::uint64_t>();
    const auto value_count = number<std::uint64_t>();
    // Every entry takes more than 8 bytes: a count that cannot fit is damage, not a reason to allocate.
    if (tensor_count > size_ / 8 || value_count > size_ / 8) {
      throw corrupt(fmt::format("it claims {} tensors and {} values in {} bytes", tensor_count, value_count, size_));
    }
    if (tensor_count > kMostTensors) throw corrupt(fmt::format("it claims {} tensors", tensor_count));
    if (tensor_count == 0) {
      throw Error(ErrorCode::BadInput, fmt::format("{} {}", path_.string(), purpose_.without_tensors),
                  fmt::format("name a GGUF file of the whole {}", purpose_.noun));
    }
    for (std::uint64_t i = 0; i < value_count; ++i) read_value();
    read_tensors(tensor_count);
  }

  Error unreadable(const std::string& why) const {
    return Error(ErrorCode::BadInput, fmt::format("cannot open the {} {}: {}", purpose_.noun, path_.string(), why),
                 fmt::format("check the path of {}", purpose_.option));
  }
  Error not_gguf(const std::string& why) const {
    return Error(ErrorCode::BadInput, fmt::format("{} is not a GGUF {}: {}", path_.string(), purpose_.noun, why),
                 purpose_.other_format);
  }
  Error unusable(const std::string& why) const {
    return Error(ErrorCode::BadInput, fmt::format("{} is not a language model: {}", path_.string(), why),
                 "name the GGUF file of a whole causal language model");
  }
  Error corrupt(const std::string& what) const {
    return Error(ErrorCode::CorruptFile, fmt::format("{} is damaged: {}", path_.string(), what),
                 fmt::format("download or convert the {} again", purpose_.noun));
  }

  void read_bytes(void* to, std::uint64_t bytes) {
    if (bytes > size_ - position_) {
      throw corrupt(
          fmt::format("its header goes on after the end of the file (byte {}); it is probably truncated", size_));
    }
    if (bytes > 0 && std::fread(to, 1, bytes, file_.get()) != bytes) throw corrupt("it cannot be read to its end");
    position_ += bytes;
  }

  template <class T>
  T number() {
    T value;
    read_bytes(&value, sizeof value);
    return value;
  }

  std::string string(std::uint64_t longest) {
    const auto length = number<std::uint64_t>();
    if (length > size_ - position_ || length > longest) {
      throw corrupt(fmt::format("a text before byte {} claims {} bytes", position_, length));
    }
    std::string text(length, '\0');
    read_bytes(text.data(), length);
    return text;
  }
  std::string string() { return string(size_); }

  static std::size_t scalar_bytes(std::uint32_t type) {
    switch (type) {
      case GGUF_TYPE_UINT8:
      case GGUF_TYPE_INT8:
      case GGUF_TYPE_BOOL:
        return 1;
      case GGUF_TYPE_UINT16:
      case GGUF_TYPE_INT16:
        return 2;
      case GGUF_TYPE_UINT32:
      case GGUF_TYPE_INT32:
      case GGUF_TYPE_FLOAT32:
        return 4;
      case GGUF_TYPE_UINT64:
      case GGUF_TYPE_INT64:
      case GGUF_TYPE_FLOAT64:
        return 8;
      default:
        return 0;
    }
  }

  void read_value() {
    const std::string key = string(kLongestKey);
    if (key.empty() || !keys_.insert(key).second) throw corrupt(fmt::format("the key '{}' is empty or double", key));
    const auto type = number<std::uint32_t>();
    result_.types[key] = type;
    if (type == GGUF_TYPE_STRING) {
      result_.strings[key] = string();
    } else if (type == GGUF_TYPE_ARRAY) {
      read_array(key);
    } else {
      read_scalar(key, type);
    }
  }

  void read_scalar(const std::string& key, std::uint32_t type) {
    std::int64_t& value = result_.integers[key];
    switch (type) {
      case GGUF_TYPE_UINT8:
      case GGUF_TYPE_BOOL:
        value = number<std::uint8_t>();
        return;
      case GGUF_TYPE_INT8:
        value = number<std::int8_t>();
        return;
      case GGUF_TYPE_UINT16:
        value = number<std::uint16_t>();
        return;
      case GGUF_TYPE_INT16:
        value = number<std::int16_t>();
        return;
      case GGUF_TYPE_UINT32:
        value = number<std::uint32_t>();
        return;
      case GGUF_TYPE_INT32:
        value = number<std::int32_t>();
        return;
      case GGUF_TYPE_UINT64: {
        const auto wide = number<std::uint64_t>();
        value = wide > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())
                    ? std::numeric_limits<std::int64_t>::max()
                    : static_cast<std::int64_t>(wide);
        return;
      }
      case GGUF_TYPE_INT64:
        value = number<std::int64_t>();
        return;
      default:
        break;
    }
    result_.integers.erase(key);
    if (type == GGUF_TYPE_FLOAT32) {
      result_.numbers[key] = static_cast<double>(number<float>());
    } else if (type == GGUF_TYPE_FLOAT64) {
      result_.numbers[key] = number<double>();
    } else {
      throw corrupt(fmt::format("the value '{}' has the unknown type {}", key, type));
    }
  }

  void read_array(const std::string& key) {
    const auto type = number<std::uint32_t>();
    const auto count = number<std::uint64_t>();
    Hasher hasher;
    hasher.add(static_cast<std::int64_t>(type)).add(static_cast<std::int64_t>(count));
    if (type == GGUF_TYPE_STRING) {
      const bool tokens = key == "tokenizer.ggml.tokens";
      std::unordered_set<std::string> seen;
      if (count > (size_ - position_) / 8) throw corrupt(fmt::format("the array '{}' claims {} texts", key, count));
      for (std::uint64_t i = 0; i < count; ++i) {
        std::string text = string();
        hasher.add(text);
        // llama.cpp asserts that tokens differ; empty ones get a name of their own there.
        if (tokens && !text.empty() && !seen.insert(text).second) {
          throw corrupt(fmt::format("its vocabulary has the token '{}' twice", text));
        }
      }
    } else {
      const std::size_t bytes = scalar_bytes(type);
      if (bytes == 0) throw corrupt(fmt::format("the array '{}' has entries of the type {}", key, type));
      if (count > (size_ - position_) / bytes) {
        throw corrupt(fmt::format("the array '{}' claims {} entries", key, count));
      }
      std::array<char, 1 << 14> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read_bytes
      for (std::uint64_t left = count * bytes; left > 0;) {
        const std::uint64_t piece = std::min<std::uint64_t>(left, buffer.size());
        read_bytes(buffer.data(), piece);
        hasher.add(buffer.data(), piece);
        left -= piece;
      }
    }
    result_.array_counts[key] = count;
    result_.array_hashes[key] = hasher.hex();
  }

  void read_tensors(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      GgufTensor tensor;
      tensor.name = string(GGML_MAX_NAME - 1);
      const auto dimensions = number<std::uint32_t>();
      if (dimensions < 1 || dimensions > GGML_MAX_DIMS) {
        throw corrupt(fmt::format("the tensor '{}' has {} dimensions", tensor.name, dimensions));
      }
      tensor.elements = 1;
      std::uint64_t row = 0;
      for (std::uint32_t k = 0; k < dimensions; ++k) {
        const auto extent = number<std::uint64_t>();
        if (k == 0) row = extent;
        if (extent == 0 || extent > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / 16 ||
            tensor.elements > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / 16 / extent) {
          throw corrupt(fmt::format("the tensor '{}' has an impossible shape", tensor.name));
        }
        tensor.elements *= extent;
        tensor.shape.push_back(extent);
      }
      while (tensor.shape.size() > 1 && tensor.shape.back() == 1) tensor.shape.pop_back();
      const auto type = number<std::uint32_t>();
      tensor.type = type;
      const std::int64_t block = type < GGML_TYPE_COUNT ? ggml_blck_size(static_cast<ggml_type>(type)) : 0;
      if (block <= 0) throw corrupt(fmt::format("the tensor '{}' has the unknown type {}", tensor.name, type));
      if (row % static_cast<std::uint64_t>(block) != 0) {
        throw corrupt(fmt::format("the rows of the tensor '{}' are not whole blocks of {}", tensor.name, block));
      }
      tensor.bytes = tensor.elements / static_cast<std::uint64_t>(block) * ggml_type_size(static_cast<ggml_type>(type));
      tensor.at = number<std::uint64_t>();  // from the start of the weights, as yet
      result_.tensors.push_back(std::move(tensor));
    }
    const std::int64_t alignment = result_.integer("general.alignment", GGUF_DEFAULT_ALIGNMENT);
    if (alignment < kSmallestAlignment || alignment > static_cast<std::int64_t>(kLargestAlignment) ||
        !std::has_single_bit(static_cast<std::uint64_t>(alignment))) {
      throw corrupt(fmt::format("its alignment is {}", alignment));
    }
    const auto unit = static_cast<std::uint64_t>(alignment);
    const std::uint64_t start = (position_ + unit - 1) / unit * unit;
    const std::uint64_t available = size_ > start ? size_ - start : 0;
    for (GgufTensor& tensor : result_.tensors) {
      if (tensor.at > available || tensor.bytes > available - tensor.at) {
        throw corrupt(fmt::format("the tensor '{}' ends {} bytes after the end of the file; it is probably truncated",
                                  tensor.name, tensor.at + tensor.bytes - available));
      }
      tensor.at += start;
    }
  }

  /// What llama.cpp would meet with an assertion, a division by zero or an enormous allocation.
  void check_model() const {
    const std::string architecture = result_.text("general.architecture");
    const std::string type = result_.text("general.type");
    if (architecture.empty() || (!type.empty() && type != "model")) {
      throw unusable(type.empty() ? "it does not name its architecture" : fmt::format("it is of the type '{}'", type));
    }
    if (const std::int64_t parts = result_.integer("split.count", 1); parts > 1) {
      throw Error(ErrorCode::BadInput, fmt::format("{} is one of the {} parts of a model", path_.string(), parts),
                  "merge them with `llama-gguf-split --merge` and name the merged file");
    }
    const auto require = [&](const char* what, std::int64_t most) {
      const std::string key = architecture + "." + what;
      const auto found = result_.integers.find(key);
      if (found == result_.integers.end()) throw unusable(fmt::format("it does not say '{}'", key));
      if (found->second < 1 || found->second > most) throw corrupt(fmt::format("'{}' is {}", key, found->second));
    };
    require("block_count", kMostLayers);
    require("embedding_length", 1 << 20);
    require("context_length", std::numeric_limits<std::int32_t>::max());
    for (const auto& [key, value] : result_.numbers) {
      if (!std::isfinite(value) || (key.ends_with("epsilon") && value < 0)) {
        throw corrupt(fmt::format("'{}' is {}", key, value));
      }
    }
    const auto value = [&](const char* what) { return result_.integer(architecture + "." + what, 0); };
    if (value("expert_used_count") < 0 ||
        value("expert_used_count") > std::max<std::int64_t>(0, value("expert_count")) ||
        (value("expert_count") > 0 && value("expert_used_count") == 0)) {
      throw corrupt(fmt::format("it uses {} of {} experts", value("expert_used_count"), value("expert_count")));
    }
    if (const std::string kind = result_.text("tokenizer.ggml.model"); kind == "none" || kind == "no_vocab") {
      throw unusable("it has no tokenizer");
    }
    const auto tokens = result_.array_counts.find("tokenizer.ggml.tokens");
    if (tokens == result_.array_counts.end() || tokens->second == 0) throw unusable("it has no vocabulary");
    for (const char* key : {"tokenizer.ggml.scores", "tokenizer.ggml.token_type"}) {
      const auto found = result_.array_counts.find(key);
      if (found != result_.array_counts.end() && found->second != tokens->second) {
        throw corrupt(fmt::format("'{}' has {} entries for {} tokens", key, found->second, tokens->second));
      }
    }
  }

  void check_adapter() const {
    const std::string type = result_.text("general.type");
    if (type != "adapter") {
      // Older converters do not write a type into a model.
      const bool model = type == "model" || (type.empty() && result_.array_counts.contains("tokenizer.ggml.tokens"));
      throw Error(ErrorCode::BadInput,
                  fmt::format("{} is not an adapter: {}", path_.string(),
                              model          ? "it is a model"
                              : type.empty() ? "it does not say that it is one"
                                             : fmt::format("it is of the type '{}'", type)),
                  model ? "name a model with --model, and with --lora an adapter to it" : purpose_.other_format);
    }
    if (const std::string kind = result_.text("adapter.type"); kind != "lora") {
      throw Error(ErrorCode::BadInput, fmt::format("{} is an adapter of the type '{}'", path_.string(), kind),
                  "only LoRA adapters can be applied");
    }
  }

  std::filesystem::path path_;
  const Purpose& purpose_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_{nullptr, &std::fclose};
  std::uint64_t size_ = 0;
  std::uint64_t position_ = 0;
  std::set<std::string> keys_;
  GgufFile result_;
};

}  // namespace

std::int64_t GgufFile::integer(const std::string& key, std::int64_t fallback) const {
  const auto found = integers.find(key);
  return found == integers.end() ? fallback : found->second;
}

std::string GgufFile::text(const std::string& key) const {
  const auto found = strings.find(key);
  return found == strings.end() ? std::string() : found->second;
}

GgufFile read_gguf_header(const std::filesystem::path& path) {
  return HeaderReader(path, kModel).model();
}

GgufFile read_adapter_header(const std::filesystem::path& path) {
  return HeaderReader(path, kAdapter).adapter();
}

GgufFile read_any_gguf_header(const std::filesystem::path& path) {
  return HeaderReader(path, kModel).any();
}

}  // namespace coala
