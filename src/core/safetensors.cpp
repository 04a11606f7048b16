#include "core/safetensors.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/error.h"
#include "core/half.h"

namespace coala {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors is little-endian, and so must the host be");

/// The same bound as the reference implementation: no honest header is larger.
constexpr std::uint64_t kLargestHeader = 100'000'000;

std::size_t tensor_bytes(Dtype dtype, const std::vector<std::size_t>& shape) {
  std::size_t bytes = dtype_bytes(dtype);
  for (const std::size_t extent : shape) bytes *= extent;
  return bytes;
}

/// Rejects deep nesting before the recursive JSON parser sees it; a real header has depth 3.
bool nested_deeper_than(std::string_view json, int limit) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > limit) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

/// Reads a header. A key that an object has twice would hide what stands there first, so it is none.
/// @param twice  gets such a key
nlohmann::json parse_header(std::string_view text, std::optional<std::string>& twice) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto on_event = [&](int, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    if (event == Event::object_start) {
      keys.emplace_back();
    } else if (event == Event::object_end) {
      keys.pop_back();
    } else if (event == Event::key && !keys.back().insert(parsed.get<std::string>()).second) {
      twice = parsed.get<std::string>();
    }
    return true;
  };
  return nlohmann::json::parse(text.begin(), text.end(), on_event, /*allow_exceptions=*/false);
}

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace

std::size_t TensorView::count() const noexcept {
  return bytes.size() / dtype_bytes(dtype);
}

struct SafetensorsFile::Mapping {
  std::byte* data = nullptr;
  std::size_t size = 0;

  explicit Mapping(const std::filesystem::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe is not waited for
    if (descriptor < 0) {
      throw Error(ErrorCode::BadInput, fmt::format("cannot open {}: {}", path.string(), std::strerror(errno)),
                  "check the path");
    }
    struct stat status = {};
    if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(descriptor);
      throw Error(ErrorCode::BadInput, fmt::format("{} is not a regular file", path.string()), "name a file");
    }
    size = static_cast<std::size_t>(status.st_size);
    void* mapped = size == 0 ? nullptr : ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    const int error = errno;
    ::close(descriptor);
    if (mapped == MAP_FAILED) {
      throw Error(ErrorCode::Io, fmt::format("cannot map {}: {}", path.string(), std::strerror(error)));
    }
    data = static_cast<std::byte*>(mapped);
  }
  ~Mapping() {
    if (data != nullptr) ::munmap(data, size);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : path_(path), mapping_(std::make_shared<const Mapping>(path)) {
  const auto corrupt = [&](const std::string& what) {
    return Error(ErrorCode::CorruptFile, fmt::format("{} is not a valid safetensors file: {}", path_.string(), what),
                 "make the file again, or name the right one");
  };
  const std::size_t size = mapping_->size;
  if (size < 8) throw corrupt(fmt::format("it has {} bytes, at least 8 are needed", size));
  const std::uint64_t header_bytes = load<std::uint64_t>(mapping_->data);
  if (header_bytes > kLargestHeader || header_bytes > size - 8) {
    throw corrupt(fmt::format("its header claims {} bytes, the file has {}", header_bytes, size));
  }
  const std::string_view text(reinterpret_cast<const char*>(mapping_->data + 8), header_bytes);
  if (nested_deeper_than(text, 8)) throw corrupt("its header is nested too deeply");
  std::optional<std::string> twice;
  const nlohmann::json header = parse_header(text, twice);
  if (!header.is_object()) throw corrupt("its header is not a JSON object");
  if (twice) throw corrupt(fmt::format("its header has '{}' twice", *twice));

  const std::size_t data_bytes = size - 8 - header_bytes;
  const std::byte* const data = mapping_->data + 8 + header_bytes;
  std::vector<std::pair<std::size_t, std::size_t>> ranges;
  for (const auto& [name, entry] : header.items()) {
    if (!entry.is_object()) throw corrupt(fmt::format("the entry '{}' is not an object", name));
    if (name == "__metadata__") {
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) throw corrupt(fmt::format("the metadata '{}' is not a string", key));
        metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    const auto dtype = entry.find("dtype");
    const auto shape = entry.find("shape");
    const auto offsets = entry.find("data_offsets");
    const auto is_size = [](const nlohmann::json& value) { return value.is_number_unsigned(); };
    if (dtype == entry.end() || !dtype->is_string() || shape == entry.end() || !shape->is_array() ||
        !std::all_of(shape->begin(), shape->end(), is_size) || offsets == entry.end() || !offsets->is_array() ||
        offsets->size() != 2 || !std::all_of(offsets->begin(), offsets->end(), is_size)) {
      throw corrupt(fmt::format("the entry '{}' lacks a dtype, a shape or two data_offsets", name));
    }
    const std::optional<Dtype> known = dtype_named(dtype->get_ref<const std::string&>());
    if (!known) {
      throw corrupt(fmt::format("the tensor '{}' has the unknown type '{}'", name, dtype->get<std::string>()));
    }
    TensorView view;
    view.dtype = *known;
    std::size_t bytes = dtype_bytes(*known);
    for (const nlohmann::json& extent_value : *shape) {
      const auto extent = extent_value.get<std::size_t>();
      if (extent != 0 && bytes > std::numeric_limits<std::size_t>::max() / extent) {
        throw corrupt(fmt::format("the shape of '{}' overflows", name));
      }
      bytes *= extent;
      view.shape.push_back(extent);
    }
    const auto begin = (*offsets)[0].get<std::size_t>();
    const auto end = (*offsets)[1].get<std::size_t>();
    if (begin > end || end > data_bytes || end - begin != bytes) {
      throw corrupt(fmt::format("the tensor '{}' claims bytes {} to {} of {} for a shape of {} bytes", name, begin, end,
                                data_bytes, bytes));
    }
    view.bytes = {data + begin, bytes};
    ranges.emplace_back(begin, end);
    tensors_.emplace(name, std::move(view));
  }
  std::sort(ranges.begin(), ranges.end());
  std::size_t reached = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != reached) throw corrupt(fmt::format("its tensors overlap or leave a hole at byte {}", reached));
    reached = end;
  }
  if (reached != data_bytes)
    throw corrupt(fmt::format("{} bytes at its end belong to no tensor", data_bytes - reached));
}

const TensorView& SafetensorsFile::tensor(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found != tensors_.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [other, view] : tensors_) names.push_back(other);
  throw Error(ErrorCode::CorruptFile,
              fmt::format("{} has no tensor '{}'; it has: {}", path_.string(), name, fmt::join(names, ", ")),
              "name a file of the right kind");
}

template <class T>
static void read_floating(const SafetensorsFile& file, const std::string& name, std::span<T> values) {
  const TensorView& view = file.tensor(name);
  if (values.size() != view.count()) {
    throw Error(ErrorCode::Internal,
                fmt::format("room for {} numbers, '{}' has {}", values.size(), name, view.count()));
  }
  const std::byte* const from = view.bytes.data();
  for (std::size_t i = 0; i < values.size(); ++i) {
    switch (view.dtype) {
      case Dtype::F64:
        values[i] = static_cast<T>(load<double>(from + 8 * i));
        break;
      case Dtype::F32:
        values[i] = static_cast<T>(load<float>(from + 4 * i));
        break;
      case Dtype::F16:
        values[i] = static_cast<T>(f16_to_f32(load<std::uint16_t>(from + 2 * i)));
        break;
      case Dtype::BF16:
        values[i] = static_cast<T>(bf16_to_f32(load<std::uint16_t>(from + 2 * i)));
        break;
      case Dtype::I64:
      case Dtype::I32:
      case Dtype::I16:
      case Dtype::I8:
      case Dtype::U8:
        throw Error(ErrorCode::CorruptFile, fmt::format("{}: the tensor '{}' is {}, a floating-point type is needed",
                                                        file.path().string(), name, dtype_name(view.dtype)));
    }
  }
}

void SafetensorsFile::read_f32(const std::string& name, std::span<float> to) const {
  read_floating(*this, name, to);
}

std::vector<float> SafetensorsFile::read_f32(const std::string& name) const {
  std::vector<float> values(tensor(name).count());
  read_f32(name, values);
  return values;
}

std::vector<double> SafetensorsFile::read_f64(const std::string& name) const {
  std::vector<double> values(tensor(name).count());
  read_floating<double>(*this, name, values);
  return values;
}

std::vector<std::int64_t> SafetensorsFile::read_i64(const std::string& name) const {
  const TensorView& view = tensor(name);
  std::vector<std::int64_t> values(view.count());
  const std::byte* const from = view.bytes.data();
  for (std::size_t i = 0; i < values.size(); ++i) {
    switch (view.dtype) {
      case Dtype::I64:
        values[i] = load<std::int64_t>(from + 8 * i);
        break;
      case Dtype::I32:
        values[i] = load<std::int32_t>(from + 4 * i);
        break;
      case Dtype::I16:
        values[i] = load<std::int16_t>(from + 2 * i);
        break;
      case Dtype::I8:
        values[i] = load<std::int8_t>(from + i);
        break;
      case Dtype::U8:
        values[i] = load<std::uint8_t>(from + i);
        break;
      case Dtype::F64:
      case Dtype::F32:
      case Dtype::F16:
      case Dtype::BF16:
        throw Error(ErrorCode::CorruptFile, fmt::format("{}: the tensor '{}' is {}, an integer type is needed",
                                                        path_.string(), name, dtype_name(view.dtype)));
    }
  }
  return values;
}

void SafetensorsWriter::declare(const std::string& name, Dtype dtype, std::vector<std::size_t> shape) {
  if (file_) throw Error(ErrorCode::Internal, "a tensor was declared after the first bytes were written");
  expected_ += tensor_bytes(dtype, shape);
  declared_.push_back({name, dtype, std::move(shape)});
}

void SafetensorsWriter::start() {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata_.empty()) header["__metadata__"] = metadata_;
  std::size_t offset = 0;
  for (const Declared& tensor : declared_) {
    const std::size_t end = offset + tensor_bytes(tensor.dtype, tensor.shape);
    header[tensor.name] = {
        {"dtype", std::string(dtype_name(tensor.dtype))}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.resize((text.size() + 8 + 63) / 64 * 64 - 8, ' ');  // so that the tensors start at a cache line
  const std::uint64_t length = text.size();
  file_ = std::make_unique<AtomicFile>(path_);
  file_->write(&length, sizeof length);
  file_->write(text);
}

void SafetensorsWriter::append(const void* data, std::size_t bytes) {
  if (!file_) start();
  appended_ += bytes;
  if (appended_ > expected_) throw Error(ErrorCode::Internal, "more bytes were appended than the tensors have");
  file_->write(data, bytes);
}

void SafetensorsWriter::commit() {
  if (!file_) start();
  if (appended_ != expected_) throw Error(ErrorCode::Internal, "fewer bytes were appended than the tensors have");
  file_->commit();
}

}  // namespace coala
