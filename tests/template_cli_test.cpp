// Options that decide how messages become text, and what happens to records that cannot.
#include <gtest/gtest.h>

#include <algorithm>

#include "program.h"

namespace coala {
namespace {

using namespace test;  // NOLINT

/// Turns in brackets; two of a kind in a row are refused.
constexpr const char* kStrict =
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}[{{ m.content }}]{% endfor %}";

std::string model() {
  return " --model " + shell_quoted(test_file("tiny-llama.gguf"));
}

/// Forty good pairs and one whose users speak twice in a row, the third.
std::string write_data(const TemporaryFolder& folder) {
  std::ofstream file(folder / "data.jsonl");
  for (int i = 0; i < 41; ++i) {
    const std::string turn = R"({"role": "user", "content": "the hen )" + std::to_string(i) + "\"}";
    file << R"({"id": "r)" << i << R"(", "prompt": [)" << turn << (i == 2 ? "," + turn : "") << R"(], "chosen": "inn )"
         << i % 7 << R"(", "rejected": "sand )" << i % 5 << "\"}\n";
  }
  return " --data " + shell_quoted(folder / "data.jsonl");
}

std::string strict(const TemporaryFolder& folder) {
  write_file(folder / "strict.jinja", kStrict);
  return " --template " + shell_quoted(folder / "strict.jinja");
}

TEST(SkipBad, LeavesRecordsOutAndNamesThem) {
  const TemporaryFolder folder;
  const std::string data = write_data(folder);
  const std::string out = " --out " + shell_quoted(folder / "f");
  const std::string extract = "extract --json" + model() + strict(folder) + data + out;
  expect_refused(run(folder, extract), {"record 'r2'", "Conversation roles must alternate", "--skip-bad"});
  for (int again = 0; again < 2; ++again) {  // the second one finds the file
    const Outcome skipped = run(folder, extract + " --skip-bad");
    ASSERT_EQ(skipped.status, 0) << skipped.err;
    EXPECT_NE(skipped.err.find("1 records of"), std::string::npos) << skipped.err;
    EXPECT_NE(skipped.err.find(again == 0 ? "'r2'" : "the 3. record"), std::string::npos) << skipped.err;
    EXPECT_EQ(nlohmann::json::parse(skipped.out).at("extract").at("records"), 40);
  }
  const std::string generate = "generate --quiet --max-tokens 1" + model() + strict(folder) + data;
  expect_refused(run(folder, generate), {"record 'r2'", "Conversation roles must alternate"});
  const Outcome replies = run(folder, generate + " --skip-bad");
  EXPECT_EQ(std::ranges::count(replies.out, '\n'), 40) << replies.err;
  EXPECT_EQ(replies.out.find("\"r2\""), std::string::npos);
  EXPECT_NE(replies.err.find("'r2'"), std::string::npos) << replies.err;
}

TEST(SkipBad, KeepsTheTextsOfAReportWithTheirRows) {
  const TemporaryFolder folder;
  const std::string align = "align --quiet --skip-bad --token-rank 0" + model() + strict(folder) + write_data(folder);
  const Outcome outcome = run(folder, align + " --out " + shell_quoted(folder / "al"));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const std::string page = read_file(folder / "al" / "report.html");
  EXPECT_EQ(page.find("the hen 2<"), std::string::npos);
  // Every example's prompt and chosen response have the numbers that go together.
  int examples = 0;
  for (int i = 0; i < 41; ++i) {
    const std::size_t at = page.find("the hen " + std::to_string(i) + "<");
    if (at == std::string::npos) continue;
    ++examples;
    const std::size_t chosen = page.find("inn ", at);
    ASSERT_NE(chosen, std::string::npos);
    EXPECT_EQ(page[chosen + 4], static_cast<char>('0' + i % 7)) << i;
  }
  EXPECT_GT(examples, 0);
}

TEST(TemplateOption, GoesWithTheHeadsOwn) {
  const TemporaryFolder folder;
  const std::string data = write_data(folder);
  const auto make_head = [&](const std::string& name, const std::string& how) {
    const std::string features = shell_quoted(folder / (name + "-features"));
    EXPECT_EQ(run(folder, "extract" + model() + data + how + " --out " + features).status, 0);
    const std::string head = shell_quoted(folder / name);
    EXPECT_EQ(run(folder, "train --features " + features + " --out " + head).status, 0);
    return " --head " + head;
  };
  const std::string raw = make_head("raw", " --template raw");
  const std::string named = make_head("named", strict(folder) + " --skip-bad");
  const std::string score = "score --skip-bad" + model() + data;
  EXPECT_EQ(run(folder, score + raw).status, 0);
  EXPECT_EQ(run(folder, score + raw + " --template raw").status, 0);
  expect_refused(run(folder, score + raw + " --template model"), {"trained with --template raw", "--template model"});
  EXPECT_EQ(run(folder, score + named + strict(folder)).status, 0);
  expect_refused(run(folder, score + named), {"another chat template"});
  expect_refused(run(folder, score + named + " --template raw"), {"trained with --template model"});
  expect_refused(run(folder, score + raw + " --template " + shell_quoted(folder / "none.jinja")), {"none.jinja"});
}

TEST(Thinking, IsKeptApartFromTheAnswer) {
  const TemporaryFolder folder;
  // Thoughts are open in the prompt: whatever the model writes up to its limit is thought.
  write_file(folder / "t.jinja",
             "{% for m in messages %}{% if m.role == 'user' %}{{ '<|user|>' + m.content }}{% else %}"
             "{{ '<|assistant|>' + m.content + '<|end|>' }}{% endif %}{% endfor %}"
             "{% if add_generation_prompt %}{{ '<|assistant|><think>\n' }}{% endif %}");
  const std::string start = "generate --quiet --ignore-eos --max-tokens 6 --prompt hen" + model() + " --template " +
                            shell_quoted(folder / "t.jinja");
  const Outcome plain = run(folder, start);
  ASSERT_EQ(plain.status, 0) << plain.err;
  const auto answer = nlohmann::json::parse(plain.out);
  EXPECT_NE(answer.at("text"), "");
  EXPECT_FALSE(answer.contains("reasoning"));
  const Outcome thinking = run(folder, start + " --thinking");
  ASSERT_EQ(thinking.status, 0) << thinking.err;
  const auto thought = nlohmann::json::parse(thinking.out);
  EXPECT_EQ(thought.at("text"), "");
  EXPECT_NE(thought.at("reasoning"), "");
}

}  // namespace
}  // namespace coala
