#include "study/page.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <string_view>

#include "core/error.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

std::string base64_of_hex(std::string_view hex) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char digit : hex) {
    bits = bits << 4 | static_cast<std::uint32_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
    for (count += 4; count >= 6; count -= 6) result += kDigits[bits >> (count - 6) & 63];
  }
  if (count > 0) result += kDigits[bits << (6 - count) & 63];
  while (result.size() % 4 != 0) result += '=';
  return result;
}

std::string_view file_named(std::string_view path, std::string& sources) {
  for (const PageFile& file : study_page_files()) {
    if (file.path != path) continue;
    sources += fmt::format(" 'sha256-{}'", base64_of_hex(file.sha256));
    return file.content;
  }
  throw Error(ErrorCode::Internal, fmt::format("the study's page has no {}", path));
}

void replace_once(std::string& text, std::string_view what, std::string_view by) {
  const std::size_t at = text.find(what);
  if (at == std::string::npos) throw Error(ErrorCode::Internal, fmt::format("the study's page has no {}", what));
  text.replace(at, what.size(), by);
}

/// JSON within a script element: "<" stands in strings alone, so nothing that ends the element or begins a comment is
/// left.
std::string data_of(const Json& study) {
  std::string text;
  for (const char c : study.dump(-1, ' ', false, Json::error_handler_t::replace)) {
    if (c == '<') {
      text += "\\u003c";
    } else {
      text += c;
    }
  }
  return text;
}

}  // namespace

std::string study_page(const Json& study) {
  std::string unused;
  std::string page(file_named("/", unused));
  std::string styles;
  std::string scripts;
  const auto put = [&page](std::string_view reference, std::string_view element, std::string_view content) {
    replace_once(page, reference, fmt::format("<{0}>{1}</{0}>", element, content));
  };
  put("<link rel=\"stylesheet\" href=\"page.css\"/>", "style", file_named("/page.css", styles));
  for (const std::string_view name : {"session.js", "page.js"}) {
    put(fmt::format("<script src=\"{}\"></script>", name), "script", file_named(fmt::format("/{}", name), scripts));
  }
  // A page from a file has no header that could say so; a policy that stands in the page holds for what follows it.
  replace_once(page, "POLICY",
               fmt::format("default-src 'none'; script-src{}; style-src{}; img-src data:; base-uri 'none'; "
                           "form-action 'none'",
                           scripts, styles));
  replace_once(page, "STUDY", data_of(study));
  return page;
}

}  // namespace coala
