#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace coala {

/// What becomes of a field of a request.
enum class Standing {
  Read,      ///< it has an effect
  NoEffect,  ///< accepted, and changes nothing here
  Neutral,   ///< a known parameter that cannot be honoured: its schema has the values that ask for nothing
};

struct Field {
  std::string name;
  nlohmann::json schema;  ///< null counts as absent whatever it says
  std::string about;      ///< for people
  Standing standing = Standing::Read;
  bool required = false;
};

/// Something that clients can ask for. This table says which bodies are taken (read_body()), what is described at
/// /openapi.json, and which methods an address knows.
struct Operation {
  std::string method;
  std::string path;
  std::string summary;
  std::vector<Field> fields = {};          ///< of a POST's body, else of the query
  std::string media = "application/json";  ///< of the answer
};

const std::vector<Operation>& operations();
/// nullptr: there is none.
const Operation* find_operation(std::string_view method, std::string_view path);

inline constexpr std::size_t kMostChoices = 8;   ///< of a prompt, and prompts of a request
inline constexpr std::size_t kMostItems = 1024;  ///< texts that one request may have scored
inline constexpr std::size_t kMostStops = 16;
inline constexpr std::size_t kMostBiases = 1024;
inline constexpr std::size_t kMostCandidates = 16;    ///< that a head chooses from
inline constexpr std::size_t kMostAlternatives = 20;  ///< named beside a token
inline constexpr std::size_t kMostMessages = 4096;

/// A body that was checked.
struct RequestBody {
  nlohmann::json json;
  std::vector<std::string> unknown;  ///< fields that nobody reads: "num_ctx", "messages[0].extra"
};

/// Reads a body and checks it field by field.
/// @param strict  unknown fields are an error
/// @throws RequestError
RequestBody read_body(const std::string& text, const Operation& operation, bool strict);

/// The description of all operations in the format of OpenAPI 3.1.
nlohmann::ordered_json openapi_json(const std::string& version);

/// A field that is there and not null; nullptr.
const nlohmann::json* field(const nlohmann::json& body, const char* name);

}  // namespace coala
