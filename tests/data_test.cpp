// How files are read: encodings, layouts, damage and hostile input. What the records mean is in shapes_test.cpp.
#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>
#include <string>
#include <vector>

#include "core/atomic_file.h"
#include "core/random.h"
#include "core/utf8.h"
#include "data/nesting_scanner.h"
#include "data/reader.h"
#include "support.h"

namespace coala {
namespace {

using test::error_code_of;
using test::shared_file;
using test::TemporaryFolder;

const std::string kLine = R"({"prompt": "p", "chosen": "good", "rejected": "bad"})";

/// One gzip member.
std::string gzip(const std::string& text) {
  z_stream stream = {};
  if (deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) return {};
  std::string packed(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(packed.size() - stream.avail_out);
  deflateEnd(&stream);
  return packed;
}

class Files : public ::testing::Test {
 protected:
  std::filesystem::path file(const std::string& content) {
    const std::filesystem::path path = folder_ / "data";
    write_file(path, content);
    return path;
  }

  std::vector<Pair> pairs(const std::string& content, const ReaderOptions& options = {}) {
    RecordReader reader({{file(content)}, options});
    std::vector<Pair> result;
    for (Record record; reader.next(record);) result.push_back(std::get<Pair>(record));
    counts_ = reader.counts();
    return result;
  }

  /// Expects an error whose text holds every one of the parts.
  void expect_error(const std::string& content, ErrorCode code, const std::vector<std::string>& parts,
                    const ReaderOptions& options = {}) {
    try {
      pairs(content, options);
      ADD_FAILURE() << "no error for " << content.substr(0, 200);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      for (const std::string& part : parts) {
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << "\"" << part << "\" in: " << error.what();
      }
      EXPECT_EQ(find_invalid_utf8(error.what()), std::string::npos) << "the message is fit for a terminal";
    }
  }

  TemporaryFolder folder_;
  ReaderCounts counts_;
};

TEST(Utf8, AcceptsWhatUnicodeDefinesAndNothingElse) {
  // Every code point, encoded here by the definition; the surrogates are none.
  for (std::uint32_t c = 0; c < 0x112000; ++c) {
    std::string text = "ab";
    const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
    if (c < 0x80) {
      put(c);
    } else if (c < 0x800) {
      put(0xc0 | (c >> 6)), put(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
      put(0xe0 | (c >> 12)), put(0x80 | ((c >> 6) & 0x3f)), put(0x80 | (c & 0x3f));
    } else {
      put(0xf0 | (c >> 18)), put(0x80 | ((c >> 12) & 0x3f)), put(0x80 | ((c >> 6) & 0x3f)), put(0x80 | (c & 0x3f));
    }
    const bool valid = c < 0x110000 && (c < 0xd800 || c > 0xdfff);
    ASSERT_EQ(find_invalid_utf8(text), valid ? std::string::npos : 2) << std::hex << c;
    if (c < 0x80) continue;
    ASSERT_EQ(find_invalid_utf8(text.substr(0, text.size() - 1)), 2u) << "cut short: " << std::hex << c;
  }
  for (const char* bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf5\x80\x80\x80", "\xff"}) {
    EXPECT_EQ(find_invalid_utf8(std::string("12345678") + bad), 8u);
  }
  EXPECT_EQ(count_characters("a\u00e9\u20ac\U0001f600"), 4u);
}

TEST(Utf8, QuotedTextIsHarmless) {
  EXPECT_EQ(quoted_text("a\x1b[31m\nb\x7f"), R"("a\x1b[31m\nb\x7f")");
  EXPECT_EQ(quoted_text("\u00e9\u00e9\u00e9", 3), "\"\u00e9\u00e9...\"");
  EXPECT_EQ(quoted_text("\xc2\x9b"), R"("\xc2\x9b")") << "a control character of its own";
  EXPECT_EQ(quoted_text("\xff"), R"("\xff")");
}

TEST(NestingScanner, FindsTheEndInPiecesOfEverySize) {
  const std::string text = R"({"a": "}\"]\\", "b": [{}, "["]} rest)";
  for (std::size_t size = 1; size <= text.size(); ++size) {
    NestingScanner scanner;
    std::size_t used = 0;
    NestingScanner::State state = NestingScanner::State::Open;
    while (state == NestingScanner::State::Open && used < text.size()) {
      const NestingScanner::Step step = scanner.scan(std::string_view(text).substr(used, size));
      used += step.used;
      state = step.state;
    }
    EXPECT_EQ(state, NestingScanner::State::Closed);
    EXPECT_EQ(text.substr(used), " rest") << size;
  }
}

TEST_F(Files, LinesArraysAndObjectsGiveTheSameRecords) {
  const std::string pretty = "{\n  \"prompt\": \"p\",\n  \"chosen\": \"good\",\n  \"rejected\": \"bad\"\n}";
  for (const std::string& content :
       {kLine + "\n" + kLine + "\n", kLine + "\r\n\n  \n" + kLine, "\xef\xbb\xbf" + kLine + "\n" + kLine,
        "[" + kLine + "," + kLine + "]", "\n [\n" + kLine + "\n,\n" + pretty + "\n]\n", pretty + "\n" + pretty,
        gzip(kLine + "\n" + kLine), gzip(kLine + "\n") + gzip(kLine) + std::string(512, '\0'),
        gzip("[" + kLine + ",") + gzip("") + gzip(kLine + "]")}) {
    const std::vector<Pair> read = pairs(content);
    ASSERT_EQ(read.size(), 2u) << content;
    for (const Pair& pair : read) {
      EXPECT_EQ(pair.chosen, "good");
      EXPECT_EQ(pair.rejected, "bad");
      EXPECT_EQ(pair.prompt, (Prompt{{{"user", "p"}}, {}}));
    }
    EXPECT_NE(read[0].id, read[1].id);
  }
}

TEST_F(Files, CountsLinesAndNamesRecordsByThem) {
  const std::vector<Pair> read = pairs("\n" + kLine + "\n\n \t\n" + kLine + "\n");
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0].id, "2");
  EXPECT_EQ(read[1].id, "5");
  EXPECT_EQ(counts_.lines, 5u);
  EXPECT_EQ(counts_.blank_lines, 3u);
  EXPECT_EQ(counts_.records, 2u);
  // In an array the lines say nothing: it may all be on one.
  EXPECT_EQ(pairs("[" + kLine + ", " + kLine + "]").at(1).id, "2");
}

TEST_F(Files, RecordsMayStraddleEveryBlockBoundary) {
  // Texts of ever different lengths over several blocks of 128 KiB, with quotes and brackets that must not be taken for
  // structure, in both layouts.
  std::string lines;
  std::string array = "[";
  constexpr std::size_t kRecords = 700;
  const auto body = [](std::size_t i) { return std::string(i * 3, 'x') + R"(\"}],[{\u00e9)"; };
  for (std::size_t i = 0; i < kRecords; ++i) {
    const std::string line = R"({"prompt": "p", "chosen": ")" + body(i) + R"(", "rejected": "bad"})";
    lines += line + "\n";
    array += (i > 0 ? "," : "") + line;
  }
  array += "]";
  ASSERT_GT(lines.size(), 5u << 17);
  for (const std::string& content : {lines, array, gzip(lines), gzip(array)}) {
    const std::vector<Pair> read = pairs(content);
    ASSERT_EQ(read.size(), kRecords);
    for (std::size_t i = 0; i < kRecords; ++i) {
      ASSERT_EQ(read[i].chosen, std::string(i * 3, 'x') + "\"}],[{\u00e9") << i;
    }
  }
}

TEST_F(Files, TruncatedGzipIsAnErrorWhereverItIsCut) {
  const std::string whole = gzip(kLine + "\n" + kLine + "\n");
  for (std::size_t length = 6; length < whole.size(); ++length) {
    EXPECT_EQ(error_code_of([&] { pairs(whole.substr(0, length)); }), ErrorCode::CorruptFile) << length;
  }
  expect_error(whole.substr(0, whole.size() - 1), ErrorCode::CorruptFile, {"data", "damaged gzip", "middle"});
  expect_error(whole + "junk", ErrorCode::CorruptFile, {"after the end of the compressed data"});
  std::string wrong_sum = whole;
  wrong_sum[wrong_sum.size() - 6] = static_cast<char>(wrong_sum[wrong_sum.size() - 6] ^ 1);
  expect_error(wrong_sum, ErrorCode::CorruptFile, {"incorrect data check"});
}

TEST_F(Files, OtherFormatsAreNamed) {
  ::setenv("COALA_PYTHON", "/no/such/python", 1);  // tests/table_test.py reads tables
  expect_error("PAR1\x15\x04", ErrorCode::NotBuilt, {"table"});
  expect_error("\xff\xff\xff\xff stream", ErrorCode::NotBuilt, {"table"});
  ::unsetenv("COALA_PYTHON");
  expect_error("\xff\xfe{", ErrorCode::BadInput, {"UTF-16"});
  expect_error("PK\x03\x04zip", ErrorCode::BadInput, {"zip"});
  expect_error("prompt,chosen,rejected\na,b,c\n", ErrorCode::BadInput,
               {"line 1", "expected a JSON object", "prompt,chosen"});
  EXPECT_EQ(error_code_of([] { RecordReader({{"/no/such/file"}, {}}); }), ErrorCode::BadInput);
  EXPECT_EQ(error_code_of([&] { RecordReader({{folder_.path()}, {}}); }), ErrorCode::BadInput);
}

TEST_F(Files, InvalidUtf8NamesLineAndByte) {
  std::string bad = kLine;
  bad[kLine.find("good")] = '\xe9';  // Latin-1
  const std::string byte = "byte " + std::to_string(kLine.find("good") + 1) + ":";
  expect_error(kLine + "\n" + bad + "\n", ErrorCode::BadInput, {"line 2, " + byte, "UTF-8", "0xe9"});
  expect_error("[\n" + kLine + ",\n" + bad + "]", ErrorCode::BadInput, {"line 3, " + byte, "UTF-8"});
  expect_error(R"({"prompt": "p", "chosen": "\ud800", "rejected": "b"})", ErrorCode::BadInput, {"line 1", "surrogate"});
  expect_error("\xef\xbb{}", ErrorCode::BadInput, {"line 1", "UTF-8"});
}

TEST_F(Files, DeepNestingIsRefusedBeforeTheParserSeesIt) {
  constexpr std::size_t kDepth = 1u << 20;
  for (const std::string& open : {std::string("["), std::string("{\"a\":")}) {
    std::string deep;
    for (std::size_t i = 0; i < kDepth; ++i) deep += open;
    expect_error(kLine + "\n{\"a\":" + deep, ErrorCode::BadInput, {"line 2", "deep"});
    expect_error("[" + kLine + ",{\"a\":" + deep, ErrorCode::BadInput, {"line 1", "deep"});
    expect_error("{\"a\":\n" + deep, ErrorCode::BadInput, {"line 1", "deep"});
  }
  // The limit itself: 63 lists in an object are 64 brackets.
  const auto nested = [](int lists) {
    return kLine.substr(0, kLine.size() - 1) + ", \"extra\": " + std::string(static_cast<std::size_t>(lists), '[') +
           std::string(static_cast<std::size_t>(lists), ']') + "}";
  };
  EXPECT_EQ(pairs(nested(NestingScanner::kMaxDepth - 1)).size(), 1u);
  expect_error(nested(NestingScanner::kMaxDepth), ErrorCode::BadInput, {"deep"});
}

TEST_F(Files, ALongRecordIsRefusedNotStored) {
  ReaderOptions options;
  options.max_record_bytes = 200;
  const std::string longer = R"({"prompt": "p", "chosen": ")" + std::string(200, 'x') + R"(", "rejected": "b"})";
  EXPECT_EQ(pairs(kLine + "\n" + kLine, options).size(), 2u);
  expect_error(kLine + "\n" + longer, ErrorCode::BadInput, {"line 2", "longer than 200 bytes"}, options);
  expect_error("[" + kLine + "," + longer + "]", ErrorCode::BadInput, {"longer than 200 bytes"}, options);
  expect_error("{\n" + longer.substr(1), ErrorCode::BadInput, {"longer than 200 bytes"}, options);
  // Also when it is gathered from several blocks of 128 KiB, none of which is too long.
  ReaderOptions blocks;
  blocks.max_record_bytes = 300000;
  const std::string huge = R"({"prompt": "p", "rejected": "b", "chosen": ")" + std::string(1000000, 'x') + R"("})";
  expect_error(huge, ErrorCode::BadInput, {"longer than 300000 bytes"}, blocks);
  expect_error("[" + huge + "]", ErrorCode::BadInput, {"longer than 300000 bytes"}, blocks);
  expect_error(std::string(300, ' ') + longer, ErrorCode::BadInput, {"longer than 200 bytes"}, options);
}

TEST_F(Files, BrokenJsonNamesThePlace) {
  expect_error(kLine + "\n{\"prompt\": \"p\", \"chosen\": }\n", ErrorCode::BadInput,
               {"line 2, byte 27", "not valid JSON"});
  expect_error(kLine + "\n" + kLine.substr(0, 20) + "\n" + kLine, ErrorCode::BadInput, {"line 2", "not valid JSON"});
  expect_error(kLine.substr(0, 20), ErrorCode::BadInput, {"line 1", "missing closing quote"});
  expect_error(kLine.substr(0, 15), ErrorCode::BadInput, {"line 1", "ends in the middle"});
  expect_error(kLine.substr(0, 15) + "\n" + kLine, ErrorCode::BadInput, {"line 1"});
  expect_error(kLine + " " + kLine, ErrorCode::BadInput, {"line 1", "not valid JSON"});
  for (const char* number : {"NaN", "Infinity", "-Infinity", "1e999", "01", "+1"}) {
    expect_error(kLine.substr(0, kLine.size() - 1) + ", \"margin\": " + number + "}", ErrorCode::BadInput,
                 {"line 1", "not valid JSON"});
  }
  expect_error("[" + kLine, ErrorCode::BadInput, {"ends inside its top-level array"});
  expect_error("[" + kLine + ",", ErrorCode::BadInput, {"ends inside its top-level array"});
  expect_error("[" + kLine + ",]", ErrorCode::BadInput, {"expected a JSON object"});
  expect_error("[" + kLine + " " + kLine + "]", ErrorCode::BadInput, {"expected ',' or ']'"});
  expect_error("[" + kLine + "]\n" + kLine, ErrorCode::BadInput, {"line 2", "follows the end"});
  expect_error("[1, 2]", ErrorCode::BadInput, {"expected a JSON object"});
  expect_error("{\"a\": \"x\ny\"}", ErrorCode::BadInput, {"line 1"});
  expect_error("[{\"a\": \"x\ny\"}]", ErrorCode::BadInput, {"line 1", "line break inside a string"});
}

TEST_F(Files, NothingToReadIsAnError) {
  for (const std::string& content :
       {std::string(), std::string("\n \n"), std::string("[]"), std::string("\xef\xbb\xbf"), gzip(""), gzip("[ ]\n")}) {
    expect_error(content, ErrorCode::BadInput, {"no record"});
  }
  expect_error(R"({"prompt": "p", "chosen": "same", "rejected": "same"})", ErrorCode::BadInput,
               {"none of its 1 records", "1 with identical"});
}

TEST_F(Files, TheLastOfTwoEqualKeysCounts) {
  EXPECT_EQ(pairs(R"({"prompt": "p", "chosen": "first", "rejected": "bad", "chosen": "last"})").at(0).chosen, "last");
}

TEST_F(Files, ShapesMayMixButKindsMayNot) {
  const std::string implicit = R"({"chosen": "a b", "rejected": "a c"})";
  const std::string review = R"({"text": "fine", "label": 1})";
  EXPECT_EQ(pairs(kLine + "\n" + implicit).size(), 2u);
  EXPECT_EQ(counts_.by_shape, (std::map<Shape, std::uint64_t>{{Shape::TrlExplicit, 1}, {Shape::TrlImplicit, 1}}));
  expect_error(kLine + "\n\n" + review, ErrorCode::BadInput, {"line 3", "labelled responses"});
  RecordReader reader({{file(review + "\n" + kLine)}, {}});
  EXPECT_EQ(reader.kind(), RecordKind::Labelled);
  Record record;
  EXPECT_TRUE(reader.next(record));
  EXPECT_EQ(error_code_of([&] { reader.next(record); }), ErrorCode::BadInput);
}

TEST_F(Files, MutatedFilesEndInRecordsOrAnError) {
  const std::string valid =
      kLine + "\n" +
      R"({"prompt": "p", "chosen": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "\u00e9"}],)" +
      R"( "rejected": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "n"}], "score_chosen": 2})" +
      "\n" + R"({"text": ["\n\nHuman: a\n\nAssistant: b", "\n\nHuman: a\n\nAssistant: c"], "score": [1.0, 0.0]})" +
      "\n" + R"({"prompt": "h", "response": "x", "helpfulness": 1, "correctness": 2, "coherence": 3})" + "\n" +
      R"({"prompt": "h", "response": "y", "helpfulness": 2, "correctness": 2, "coherence": 3})" + "\n" +
      R"({"utterances": [["agent1", "t"], ["agent2", "s"], ["agent1", "u"], ["agent2", "w"], ["agent1", "v"]]})" + "\n";
  ASSERT_EQ(pairs(valid).size(), 5u);
  Random random(7);
  int errors = 0;
  constexpr int kRounds = 3000;
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    std::string mutated = round % 3 == 0 ? gzip(valid) : valid;
    if (round % 5 == 0) mutated = "[" + mutated;
    for (std::uint64_t edits = 1 + random.below(3); edits > 0; --edits) {
      const std::size_t at = random.below(mutated.size());
      switch (random.below(4)) {
        case 0:
          mutated[at] = static_cast<char>(random.below(256));
          break;
        case 1:
          mutated[at] = "{}[]\",:\\\n0"[random.below(10)];
          break;
        case 2:
          mutated.erase(at, 1 + random.below(20));
          break;
        default:
          mutated.insert(at, mutated.substr(random.below(mutated.size()), random.below(40)));
      }
      if (mutated.empty()) mutated = " ";
    }
    try {
      for (const Pair& pair : pairs(mutated)) ASSERT_NE(pair.chosen, pair.rejected);
    } catch (const Error& error) {
      ASSERT_TRUE(error.code() == ErrorCode::BadInput || error.code() == ErrorCode::CorruptFile) << error.what();
      ++errors;
    }
  }
  EXPECT_GT(errors, kRounds / 2) << "the mutations hardly damage anything";
}

}  // namespace
}  // namespace coala
