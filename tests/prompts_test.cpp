#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "core/atomic_file.h"
#include "core/utf8.h"
#include "data/prompt_reader.h"
#include "support.h"

namespace coala {
namespace {

using test::TemporaryFolder;

std::vector<PromptRecord> read(const std::string& content, const ReaderOptions& options = {}) {
  const TemporaryFolder folder;
  write_file(folder / "data", content);
  return read_prompts({{folder / "data"}, options});
}

void expect_error(const std::string& content, const std::vector<std::string>& parts) {
  try {
    read(content);
    ADD_FAILURE() << "no error for " << content;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::BadInput) << error.what();
    for (const std::string& part : parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << "\"" << part << "\" in: " << error.what();
    }
  }
}

TEST(Prompts, AreReadBare) {
  const auto prompts = read(
      "{\"prompt\": \"one\", \"topic\": \"x\"}\n"
      "\n"
      "{\"id\": \"b\", \"prompt\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": "
      "\"two\"}]}\n"
      "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"a\"}, "
      "{\"role\": \"user\", \"content\": \"three\"}]}\n"
      "{\"prefix\": \"four \", \"response\": null}\n");
  ASSERT_EQ(prompts.size(), 4u);
  EXPECT_EQ(prompts[0].prompt, (Prompt{{{"user", "one"}}, ""}));
  EXPECT_EQ(prompts[1].prompt, (Prompt{{{"system", "s"}, {"user", "two"}}, ""}));
  EXPECT_EQ(prompts[2].prompt, (Prompt{{{"user", "q"}, {"assistant", "a"}, {"user", "three"}}, ""}));
  EXPECT_EQ(prompts[3].prompt, (Prompt{{}, "four "}));
  EXPECT_EQ(prompts[0].id, "1");
  EXPECT_EQ(prompts[1].id, "b");
  EXPECT_EQ(prompts[3].id, "5");
  EXPECT_EQ(read("[{\"prompt\": \"one\"}, {\"prompt\": \"two\"}]")[1].id, "2");
}

TEST(Prompts, HaveManyNames) {
  const auto prompts = read(
      "{\"question\": \"one\", \"system\": \"s\"}\n"
      "{\"instruction\": \"add\", \"input\": \"2 and 3\"}\n"
      "{\"prompt\": \"\\n\\nHuman: two\\n\\nAssistant:\"}\n"
      "{\"prompt\": \"first<extra_id_1>Assistant\\nanswer\\n<extra_id_1>User\\nsecond\"}\n");
  ASSERT_EQ(prompts.size(), 4u);
  EXPECT_EQ(prompts[0].prompt, (Prompt{{{"system", "s"}, {"user", "one"}}, ""}));
  EXPECT_EQ(prompts[1].prompt, (Prompt{{{"user", "add\n2 and 3"}}, ""}));
  EXPECT_EQ(prompts[2].prompt, (Prompt{{{"user", "two"}}, ""}));
  EXPECT_EQ(prompts[3].prompt, (Prompt{{{"user", "first"}, {"assistant", "answer"}, {"user", "second"}}, ""}));
}

TEST(Prompts, AreTheLinesOfAText) {
  const TemporaryFolder folder;
  write_file(folder / "a.txt", "\xef\xbb\xbfone\r\n\n  two and {\"three\"}\nfour");
  const auto prompts = read_prompts({{folder / "a.txt"}, {}});
  ASSERT_EQ(prompts.size(), 3u);
  EXPECT_EQ(prompts[0].prompt, (Prompt{{{"user", "one"}}, ""}));
  EXPECT_EQ(prompts[1].prompt, (Prompt{{{"user", "two and {\"three\"}"}}, ""}));
  EXPECT_EQ(prompts[1].id, "3");
  EXPECT_EQ(prompts[2].prompt, (Prompt{{{"user", "four"}}, ""}));
  write_file(folder / "b.txt", "five\n");
  EXPECT_EQ(read_prompts({{folder / "a.txt", folder / "b.txt"}, {}})[3].id, "b.txt:1");
  write_file(folder / "b.txt", " \n");
  EXPECT_THROW(read_prompts({{folder / "b.txt"}, {}}), Error);
  write_file(folder / "b.txt", "\xff\n");
  EXPECT_THROW(read_prompts({{folder / "b.txt"}, {}}), Error);
}

TEST(Prompts, ComeThroughAPipe) {
  for (const char* record : {"{\"prompt\": \"q\"}\n", "{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"b\"}\n",
                             "{\"prompt\": \"q\", \"response\": \"a\"}\n",
                             "{\"prompt\": \"q\", \"text\": \"a\", \"score\": 1, \"probability\": 0.7}\n"}) {
    int ends[2] = {};
    ASSERT_EQ(::pipe(ends), 0);
    const std::string content = std::string(record) + record;
    ASSERT_EQ(::write(ends[1], content.data(), content.size()), static_cast<ssize_t>(content.size()));
    ::close(ends[1]);
    const auto prompts = read_prompts({{"/dev/fd/" + std::to_string(ends[0])}, {}});
    ::close(ends[0]);
    ASSERT_EQ(prompts.size(), 2u) << record;
    EXPECT_EQ(prompts[0].prompt, (Prompt{{{"user", "q"}}, ""}));
    EXPECT_EQ(prompts[1].id, "2");
  }
}

TEST(Prompts, AreTakenFromPreferences) {
  const auto pairs = read("{\"id\": \"p\", \"prompt\": \"one\", \"chosen\": \"a\", \"rejected\": \"b\"}\n");
  ASSERT_EQ(pairs.size(), 1u);
  EXPECT_EQ(pairs[0].prompt, (Prompt{{{"user", "one"}}, ""}));
  EXPECT_EQ(pairs[0].id, "p");
  const auto labelled = read("{\"prompt\": \"two\", \"completion\": \"a\", \"label\": true}\n");
  ASSERT_EQ(labelled.size(), 1u);
  EXPECT_EQ(labelled[0].prompt, (Prompt{{{"user", "two"}}, ""}));
  // A conversation that ends with an answer is one of preferences: its prompts are those of the pairs.
  const std::string turns =
      "{\"messages\": [{\"role\": \"user\", \"content\": \"s0\"}, {\"role\": \"assistant\", \"content\": \"t0\"}, "
      "{\"role\": \"user\", \"content\": \"s1\"}, {\"role\": \"assistant\", \"content\": \"t1\"}]}\n";
  const auto conversation = read(turns);
  ASSERT_EQ(conversation.size(), 1u);
  EXPECT_EQ(conversation[0].prompt, (Prompt{{{"user", "s0"}}, ""}));
  // A shape that is named is taken at its word.
  ReaderOptions options;
  options.shape = Shape::TrlExplicit;
  EXPECT_EQ(test::error_code_of([&] { read("{\"prompt\": \"one\"}\n", options); }), ErrorCode::BadInput);
}

TEST(Prompts, ErrorsNameTheLine) {
  expect_error("{\"prompt\": \"one\"}\n{\"prompt\": \"two\", \"chosen\": \"a\", \"rejected\": \"b\"}\n",
               {"line 2", "chosen", "prefix"});
  expect_error("{\"prompt\": \"one\"}\n{\"frage\": \"two\"}\n", {"line 2", "frage"});
  expect_error("{\"prompt\": \"one\", \"context\": \"what it is about\"}\n", {"line 1", "context"});
  expect_error("{\"prompt\": \"one\", \"prefix\": \"two\"}\n", {"line 1", "both"});
  expect_error("{\"prompt\": 3}\n", {"line 1", "prompt"});
  expect_error("{\"frage\": \"two\"}\n", {"line 1", "frage"});
  expect_error("{\"messages\": 3}\n", {"line 1", "messages"});
  expect_error("{\"messages\": []}\n", {});
  expect_error("", {"no record"});
  expect_error("{\"prompt\": \"one\"}\n{\"prompt\": \"tw", {"line 2"});
}

TEST(Utf8, ReplacesRunsOfMalformedBytes) {
  const std::string mark = "\xef\xbf\xbd";
  EXPECT_EQ(replace_invalid_utf8(""), "");
  EXPECT_EQ(replace_invalid_utf8("plain, \xc3\xa9 and \xf0\x9f\x98\x80"), "plain, \xc3\xa9 and \xf0\x9f\x98\x80");
  EXPECT_EQ(replace_invalid_utf8("a\xff\xfe z"), "a" + mark + " z");
  EXPECT_EQ(replace_invalid_utf8("\xc3"), mark);
  EXPECT_EQ(replace_invalid_utf8("\xf0\x9f\x98"), mark);         // cut short by the end
  EXPECT_EQ(replace_invalid_utf8("\xed\xa0\x80x"), mark + "x");  // a surrogate
  EXPECT_EQ(replace_invalid_utf8("\xff"
                                 "a\xff"),
            mark + "a" + mark);
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string text{static_cast<char>(first), static_cast<char>(second), 'x'};
      EXPECT_EQ(find_invalid_utf8(replace_invalid_utf8(text)), std::string_view::npos);
      EXPECT_TRUE(replace_invalid_utf8(text).ends_with('x'));
    }
  }
}

}  // namespace
}  // namespace coala
