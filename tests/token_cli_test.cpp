#include <gtest/gtest.h>

#include "program.h"

namespace coala {
namespace {

using namespace test;  // NOLINT

std::string model() {
  return shell_quoted(test_file("tiny-llama.gguf"));
}

std::vector<nlohmann::json> lines_of(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

std::vector<std::string> texts_of(const Outcome& outcome) {
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  std::vector<std::string> texts;
  for (const auto& line : lines_of(outcome.out)) texts.push_back(line.at("text"));
  return texts;
}

/// A head with a token head, trained on the pairs in the folder. @returns its path, quoted
std::string align(const TemporaryFolder& folder, const std::string& pairs = "pairs.jsonl",
                  const std::string& out = "al") {
  const Outcome outcome = run(folder, "align --token-rank 4 --model " + model() + " --data " +
                                          shell_quoted(folder / pairs) + " --out " + shell_quoted(folder / out));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  return shell_quoted(folder / out / "head.safetensors");
}

TEST(TokenGuidance, FromPairsToText) {
  const TemporaryFolder folder;
  const std::string data = shell_quoted(write_pairs(folder, 40));
  const std::string head = align(folder);
  const std::string start = "generate --quiet --max-tokens 10 --seed 3 --model " + model() + " --data " + data;
  const std::vector<std::string> plain = texts_of(run(folder, start));
  const std::vector<std::string> guided = texts_of(run(folder, start + " --head " + head));
  EXPECT_EQ(texts_of(run(folder, start + " --guidance token --guidance-scale 1 --head " + head)), guided)
      << "guidance by token is the default of a head that has a token head";
  EXPECT_EQ(texts_of(run(folder, start + " --threads 1 --guidance token --head " + head)), guided);
  EXPECT_EQ(texts_of(run(folder, start + " --guidance token --guidance-scale 0 --head " + head)), plain);
  EXPECT_NE(guided, plain);
  EXPECT_NE(texts_of(run(folder, start + " --guidance bias --guidance-scale 5 --head " + head)), plain);
  // The best of three guided replies is one of them, and likes the head no less.
  const auto best = lines_of(run(folder, start + " --num-candidates 3 --candidates --head " + head).out);
  ASSERT_EQ(best.size(), guided.size());
  for (std::size_t i = 0; i < best.size(); ++i) {
    EXPECT_EQ(best[i].at("candidates").at(0).at("text"), guided[i]);
    for (const auto& one : best[i].at("candidates")) EXPECT_LE(one.value("score", -1e300), best[i].at("score"));
  }
  // Exported as an adapter: the same most probable tokens.
  ASSERT_EQ(
      run(folder, "export --model " + model() + " --head " + head + " --out " + shell_quoted(folder / "a.gguf")).status,
      0);
  EXPECT_EQ(texts_of(run(folder, start + " --temperature 0 --lora " + shell_quoted(folder / "a.gguf"))),
            texts_of(run(folder, start + " --temperature 0 --head " + head)));
}

TEST(TokenGuidance, IsJudgedBySomebodyElse) {
  const TemporaryFolder folder;
  const std::string data = shell_quoted(write_pairs(folder, 40));
  const std::string head = align(folder);
  const std::string start =
      "eval --generate --quiet --max-tokens 8 --model " + model() + " --head " + head + " --data " + data;
  expect_refused(run(folder, start), {"--judge-head", "--judge-command"});
  expect_refused(run(folder, start + " --judge-head " + head), {"no judge"});
  expect_refused(run(folder, start + " --judge-command 'exit 4'"), {"exit 4", "status 4"});
  const std::string by_length =
      " --judge-command \"python3 -c \\\"import sys, json\nfor line in sys.stdin: print(json.dumps({'score': "
      "len(json.loads(line)['response'])}))\\\"\"";
  const Outcome outcome = run(
      folder, start + " --json --guidance token,bias,branch,best-of-n --guidance-scale 0,2 --out " +
                  shell_quoted(folder / "judged.jsonl") + " --figure " + shell_quoted(folder / "f.svg") + by_length);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto result = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(result.at("prompts"), 40);
  ASSERT_EQ(result.at("runs").size(), 7u);
  for (const auto& one : result.at("runs")) {
    const double rate = one.at("win_rate");
    EXPECT_GE(rate, one.at("win_rate_ci95")[0]);
    EXPECT_LE(rate, one.at("win_rate_ci95")[1]);
    if (one.value("scale", 1.0) == 0) {  // nothing is guided: the same texts, all ties
      EXPECT_EQ(one.at("ties"), 1.0) << one.at("guidance");
      // Branches lie in other cells of the cache, so their attention is added up in another order.
      EXPECT_NEAR(one.at("perplexity_ratio").get<double>(), 1.0, 1e-6);
    }
  }
  // The judged replies are kept, as other commands read them, with what the judge said.
  const std::string kept = read_file(folder / "judged.jsonl");
  EXPECT_EQ(std::ranges::count(kept, '\n'), 8 * 40);
  const auto first = nlohmann::json::parse(kept.substr(0, kept.find('\n')));
  EXPECT_EQ(first.at("guidance"), "none");
  EXPECT_TRUE(first.at("judge").is_number());
  EXPECT_TRUE(first.at("outside").is_boolean());
  EXPECT_NE(read_file(folder / "f.svg").find("</svg>"), std::string::npos);
  write_pairs(folder, 30, "others.jsonl");
  const std::string judge = align(folder, "others.jsonl", "judge");
  EXPECT_EQ(run(folder, start + " --judge-head " + judge).status, 0);
}

TEST(TokenGuidance, RefusesHeadsWithoutATokenHead) {
  const TemporaryFolder folder;
  const std::string data = shell_quoted(write_pairs(folder, 20));
  const Outcome outcome = run(
      folder, "align --token-rank 0 --model " + model() + " --data " + data + " --out " + shell_quoted(folder / "al"));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const std::string head = shell_quoted(folder / "al" / "head.safetensors");
  expect_refused(run(folder, "generate --guidance token --prompt a --model " + model() + " --head " + head),
                 {"token head"});
  expect_refused(run(folder, "export --out x --model " + model() + " --head " + head), {"token head"});
  expect_refused(run(folder, "train --token-head --out x --features " +
                                 shell_quoted(folder / "al" / "features" / "train.safetensors")),
                 {"--token-rank"});
}

}  // namespace
}  // namespace coala
