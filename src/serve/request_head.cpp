#include "serve/request_head.h"

#include <algorithm>
#include <array>
#include <string>

#include "core/utf8.h"
#include "serve/request_error.h"

namespace coala {
namespace {

RequestError bad(std::string_view what) {
  return {400, "bad_request", what};
}

bool is_control(char c) {
  return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == '\x7f';
}

/// Of the names that RFC 9110 allows.
bool is_name(std::string_view text) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return is_letter_or_digit(c) || kOthers.find(c) != std::string_view::npos;
  });
}

bool is_number(std::string_view text) {
  constexpr std::size_t kMostDigits = 18;
  return !text.empty() && text.size() <= kMostDigits &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

/// Takes the first line, without what ends it.
std::string_view take_line(std::string_view& lines) {
  const std::size_t end = lines.find('\n');
  const std::string_view line = lines.substr(0, end);
  if (end == std::string_view::npos || !line.ends_with('\r')) throw bad("a line does not end with CR and LF");
  lines.remove_prefix(end + 1);
  if (std::ranges::any_of(line.substr(0, line.size() - 1), is_control)) throw bad("a line has control characters");
  return line.substr(0, line.size() - 1);
}

/// Headers by which a request is taken apart.
struct Counts {
  int hosts = 0, lengths = 0, codings = 0, encodings = 0;
};

void read_header(std::string_view line, Counts& counts, RequestHead& head) {
  if (line.starts_with(' ') || line.starts_with('\t')) throw bad("a header line is folded");
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) throw bad("a header line has no colon");
  if (!is_name(line.substr(0, colon))) throw bad("what stands before the colon of a header line is no name");
  const std::string name = lower_case(line.substr(0, colon));
  const std::string_view value = without_blanks(line.substr(colon + 1));
  if (name == "host") {
    ++counts.hosts;
    if (value.empty()) throw bad("the Host header is empty");
  } else if (name == "content-length") {
    ++counts.lengths;
    if (!is_number(value)) throw bad("Content-Length is no number");
  } else if (name == "transfer-encoding") {
    ++counts.codings;
    head.is_chunked = lower_case(value) == "chunked";
    if (!head.is_chunked) throw bad("the only Transfer-Encoding here is chunked");
  } else if (name == "content-encoding") {
    constexpr std::array<std::string_view, 4> kKnown{"identity", "gzip", "deflate", "br"};
    if (++counts.encodings > 1 || std::ranges::find(kKnown, value) == kKnown.end()) {
      throw RequestError(415, "unsupported_encoding", "the Content-Encoding is not known here", "",
                         "send the body as it is, or one of gzip, deflate and br");
    }
  }
}

}  // namespace

std::size_t head_bytes(std::string_view begun, std::size_t old) {
  constexpr std::string_view kEnd = "\n\r\n";
  if (begun.starts_with(kEnd.substr(1))) return kEnd.size() - 1;
  const std::size_t end = begun.find(kEnd, old - std::min(old, kEnd.size() - 1));
  return end == std::string_view::npos ? 0 : end + kEnd.size();
}

RequestHead read_head(std::string_view lines) {
  RequestHead head;
  Counts counts;
  const std::string_view request = take_line(lines);
  for (std::string_view line = take_line(lines); !line.empty(); line = take_line(lines)) {
    read_header(line, counts, head);
  }
  if (counts.lengths + counts.codings > 1) throw bad("the length of the body is given more than once");
  if (request.starts_with("POST ") && counts.lengths + counts.codings == 0) {
    throw RequestError(411, "length_required", "neither Content-Length nor Transfer-Encoding is given");
  }
  if (counts.hosts > 1 || (counts.hosts == 0 && request.ends_with("HTTP/1.1"))) {
    throw bad("there must be one Host header");
  }
  return head;
}

}  // namespace coala
