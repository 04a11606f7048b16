// The program as its users see it: exit statuses, messages, files, resuming.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/atomic_file.h"
#include "support.h"

namespace coala {
namespace {

using test::TemporaryFolder;
using test::test_file;

struct Outcome {
  int status = -1;
  std::string out;
  std::string err;
};

std::string shell_quoted(const std::filesystem::path& path) {
  return "'" + path.string() + "'";
}

Outcome run(const TemporaryFolder& folder, const std::string& arguments) {
  const auto out = folder / "stdout";
  const auto err = folder / "stderr";
  const std::string command = std::string("'" COALA_BINARY "' ") + arguments + " >" + shell_quoted(out) + " 2>" +
                              shell_quoted(err) + " </dev/null";
  const int result = std::system(command.c_str());
  Outcome outcome;
  outcome.status = WIFEXITED(result) ? WEXITSTATUS(result) : 128 + WTERMSIG(result);
  outcome.out = read_file(out);
  outcome.err = read_file(err);
  std::filesystem::remove(out);
  std::filesystem::remove(err);
  return outcome;
}

/// Expects exit status 2, one message with the words, and no crash.
void expect_refused(const Outcome& outcome, const std::vector<std::string>& words) {
  EXPECT_EQ(outcome.status, 2) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err.find("internal error"), std::string::npos) << outcome.err;
  for (const std::string& word : words) EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
}

/// Pairs that a byte-level model can tell apart.
std::filesystem::path write_pairs(const TemporaryFolder& folder, int count, const std::string& name = "pairs.jsonl") {
  std::ofstream file(folder / name);
  for (int i = 0; i < count; ++i) {
    file << nlohmann::json{{"prompt", "question " + std::to_string(i)},
                           {"chosen", "certainly, number " + std::to_string(i * 7 % 100) + " is a fine choice"},
                           {"rejected", "ZZZ NO " + std::to_string(i * 13 % 100) + " GO AWAY NOW ZZZ"}}
                .dump()
         << '\n';
  }
  return folder / name;
}

std::string model() {
  return shell_quoted(test_file("tiny-llama.gguf"));
}

TEST(Cli, HelpOfEveryCommandShowsDefaults) {
  const TemporaryFolder folder;
  const Outcome top = run(folder, "--help");
  EXPECT_EQ(top.status, 0);
  for (const char* command : {"align", "prepare", "extract", "train", "eval", "score", "generate", "inspect"}) {
    EXPECT_NE(top.out.find(command), std::string::npos) << command;
    const Outcome help = run(folder, std::string(command) + " --help");
    EXPECT_EQ(help.status, 0);
    for (const char* option : {"--json", "--seed", "--threads", "=0"}) {
      EXPECT_NE(help.out.find(option), std::string::npos) << command << " " << option;
    }
  }
  EXPECT_NE(run(folder, "--version").out.find("coala "), std::string::npos);
}

TEST(Cli, BadUsageIsStatusTwo) {
  const TemporaryFolder folder;
  for (const char* arguments :
       {"", "nonsense", "train", "train --features x --out", "train --features x --out y --model-class none",
        "train --features x --out y --folds 1", "align --model m", "eval --head h", "train --bogus",
        "train --features x --out y --threads -3", "train --features x --out y --seed abc"}) {
    const Outcome outcome = run(folder, arguments);
    EXPECT_EQ(outcome.status, 2) << arguments;
    EXPECT_NE(outcome.err + outcome.out, "") << arguments;
  }
}

TEST(Cli, AlignScoreEvalInspect) {
  const TemporaryFolder folder;
  const auto pairs = write_pairs(folder, 60);
  const auto out = folder / "aligned é";  // a space and a letter beyond ASCII
  const std::string arguments =
      "align --model " + model() + " --data " + shell_quoted(pairs) + " --out " + shell_quoted(out);
  const Outcome first = run(folder, arguments + " --json");
  ASSERT_EQ(first.status, 0) << first.err;
  const auto metrics = nlohmann::json::parse(first.out);
  EXPECT_GE(metrics.at("eval_rewards/accuracies").get<double>(), 0.9);
  for (const char* key :
       {"eval_rewards/accuracies_ci95", "eval_rewards/margins", "eval_rewards/chosen", "eval_rewards/rejected",
        "eval_reward_margin", "baseline/logistic_accuracy", "baseline/length_accuracy", "score_length_correlation",
        "solver", "phase2", "extract", "flops", "peak_rss_bytes"}) {
    EXPECT_TRUE(metrics.contains(key)) << key;
  }
  EXPECT_FALSE(metrics.contains("eval_accuracy"));
  EXPECT_EQ(nlohmann::json::parse(read_file(out / "metrics.json")), metrics);
  EXPECT_NE(read_file(out / "report.html").find("</html>"), std::string::npos);

  // A second run has nothing to do and says the same.
  const std::string head = read_file(out / "head.safetensors");
  const auto written = std::filesystem::last_write_time(out / "head.safetensors");
  const Outcome second = run(folder, arguments + " --json");
  EXPECT_EQ(second.status, 0);
  EXPECT_EQ(second.out, first.out);
  EXPECT_EQ(std::filesystem::last_write_time(out / "head.safetensors"), written);
  // A damaged head is made again, byte for byte.
  write_file(out / "head.safetensors", "damaged");
  EXPECT_EQ(run(folder, arguments).status, 0);
  EXPECT_EQ(read_file(out / "head.safetensors"), head);

  const std::string use = " --model " + model() + " --head " + shell_quoted(out / "head.safetensors");
  const Outcome score = run(folder, "score" + use + " --data " + shell_quoted(pairs));
  ASSERT_EQ(score.status, 0) << score.err;
  std::istringstream lines(score.out);
  int count = 0;
  int right = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto one = nlohmann::json::parse(line);
    EXPECT_TRUE(one.contains("id") && one.contains("score") && one.contains("probability"));
    right += one.at("margin").get<double>() > 0 ? 1 : 0;
  }
  EXPECT_EQ(count, 120);
  EXPECT_GE(right, 108);

  // The same data through the model and through the stored features give the same numbers.
  const Outcome direct = run(folder, "eval --json" + use + " --data " + shell_quoted(pairs));
  const Outcome stored = run(folder, "eval --json --head " + shell_quoted(out / "head.safetensors") + " --features " +
                                         shell_quoted(out / "features" / "train.safetensors"));
  ASSERT_EQ(direct.status, 0) << direct.err;
  ASSERT_EQ(stored.status, 0) << stored.err;
  EXPECT_NEAR(nlohmann::json::parse(direct.out).at("eval_rewards/margins").get<double>(),
              nlohmann::json::parse(stored.out).at("eval_rewards/margins").get<double>(), 1e-5);
  EXPECT_EQ(run(folder, "inspect " + shell_quoted(out / "head.safetensors")).status, 0);
  EXPECT_NE(stored.err.find("was trained on"), std::string::npos) << stored.err;
  EXPECT_EQ(nlohmann::json::parse(stored.out).at("leak/training_data"), true);

  // A head with itself: nothing differs, whichever way the rows come.
  const std::string path = shell_quoted(out / "head.safetensors");
  for (const std::string& rows : {" --model " + model() + " --data " + shell_quoted(pairs),
                                  " --features " + shell_quoted(out / "features" / "train.safetensors")}) {
    const Outcome same = run(folder, "eval --json --compare " + path + " " + path + rows);
    ASSERT_EQ(same.status, 0) << same.err;
    const auto comparison = nlohmann::json::parse(same.out);
    EXPECT_EQ(comparison.at("comparison/p_value"), 1.0);
    EXPECT_EQ(comparison.at("comparison/difference"), 0.0);
    EXPECT_EQ(comparison.at("disagreements").size(), 0u);
  }
  expect_refused(run(folder, "eval --compare " + path + " " + path + " --head " + path + " --features x"),
                 {"--compare A B"});
}

TEST(Cli, RefusesInputsThatDoNotBelongTogether) {
  const TemporaryFolder folder;
  const auto pairs = write_pairs(folder, 40);
  const auto features = folder / "f.safetensors";
  ASSERT_EQ(
      run(folder, "extract --model " + model() + " --data " + shell_quoted(pairs) + " --out " + shell_quoted(features))
          .status,
      0);
  const auto head = folder / "h.safetensors";
  ASSERT_EQ(run(folder, "train --features " + shell_quoted(features) + " --out " + shell_quoted(head)).status, 0);

  // Another model: the same file with one weight changed.
  std::string bytes = read_file(test_file("tiny-llama.gguf"));
  bytes[bytes.size() - 3] = static_cast<char>(bytes[bytes.size() - 3] ^ 1);
  write_file(folder / "other.gguf", bytes);
  expect_refused(run(folder, "score --model " + shell_quoted(folder / "other.gguf") + " --head " + shell_quoted(head) +
                                 " --data " + shell_quoted(pairs)),
                 {"mismatch", "backbone", "hint"});
  // Other settings for the same output file.
  expect_refused(run(folder, "extract --pooling last --model " + model() + " --data " + shell_quoted(pairs) +
                                 " --out " + shell_quoted(features)),
                 {"mismatch", "pooling"});
  // A head where features are expected, and the other way round.
  expect_refused(run(folder, "train --features " + shell_quoted(head) + " --out " + shell_quoted(folder / "x")),
                 {"chosen"});
  expect_refused(run(folder, "eval --head " + shell_quoted(features) + " --features " + shell_quoted(features)),
                 {"head"});
  EXPECT_FALSE(std::filesystem::exists(folder / "x"));
}

TEST(Cli, RefusesBadFilesAndLeavesNothing) {
  const TemporaryFolder folder;
  const auto pairs = write_pairs(folder, 10);
  const auto good = read_file(pairs);
  const std::vector<std::pair<std::string, std::string>> bad{
      {"empty", ""},
      {"misshaped", "{\"a\": 1}\n"},
      {"truncated", good.substr(0, good.size() - 20)},
      {"not-utf8", "{\"prompt\": \"p\", \"chosen\": \"\xff\xfe\", \"rejected\": \"b\"}\n"},
      {"not-json", "hello\n"},
      {"nan", "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\", \"margin\": NaN}\n"},
      {"gzip", std::string("\x1f\x8b\x08\x00garbage", 11)}};
  for (const auto& [name, content] : bad) {
    write_file(folder / name, content);
    for (const std::string& command :
         {"prepare --data " + shell_quoted(folder / name) + " --out " + shell_quoted(folder / "x.jsonl"),
          "extract --model " + model() + " --data " + shell_quoted(folder / name) + " --out " +
              shell_quoted(folder / "x"),
          "align --model " + model() + " --data " + shell_quoted(folder / name) + " --out " +
              shell_quoted(folder / "dir")}) {
      SCOPED_TRACE(command);
      expect_refused(run(folder, command), {name, "coala: "});
    }
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "x.jsonl"));
  EXPECT_FALSE(std::filesystem::exists(folder / "x"));
  EXPECT_FALSE(std::filesystem::exists(folder / "dir" / "head.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(folder / "dir" / "metrics.json"));

  const std::string rest = " --data " + shell_quoted(pairs) + " --out " + shell_quoted(folder / "x");
  expect_refused(run(folder, "extract --model " + shell_quoted(folder / "none.gguf") + rest), {"none.gguf"});
  expect_refused(run(folder, "extract --model " + shell_quoted(pairs) + rest), {"GGUF"});
  const std::string gguf = read_file(test_file("tiny-llama.gguf"));
  write_file(folder / "cut.gguf", std::string_view(gguf).substr(0, gguf.size() / 2));
  expect_refused(run(folder, "extract --model " + shell_quoted(folder / "cut.gguf") + rest), {"cut.gguf"});
  expect_refused(
      run(folder, "train --features " + shell_quoted(folder / "none") + " --out " + shell_quoted(folder / "x")),
      {"none"});
  expect_refused(run(folder, "inspect " + shell_quoted(pairs)), {"safetensors"});
  EXPECT_FALSE(std::filesystem::exists(folder / "x"));
}

std::vector<nlohmann::json> lines_of(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(Cli, GenerateWritesWhatTheHeadLikesBest) {
  const TemporaryFolder folder;
  const auto pairs = write_pairs(folder, 40);
  const auto features = folder / "f";
  const auto head = folder / "h";
  const std::string extract = "extract --model " + model() + " --data " + shell_quoted(pairs);
  ASSERT_EQ(run(folder, extract + " --out " + shell_quoted(features)).status, 0);
  ASSERT_EQ(run(folder, "train --features " + shell_quoted(features) + " --out " + shell_quoted(head)).status, 0);

  const std::string data = "generate --max-tokens 12 --seed 4 --model " + model() + " --data " + shell_quoted(pairs);
  const std::string guided = data + " --num-candidates 5 --candidates --head " + shell_quoted(head);
  const Outcome one = run(folder, guided + " --threads 1");
  ASSERT_EQ(one.status, 0) << one.err;
  const auto replies = lines_of(one.out);
  const auto unguided = lines_of(run(folder, data + " --samples 2").out);
  ASSERT_EQ(replies.size(), 40u);
  ASSERT_EQ(unguided.size(), 80u);
  int others = 0;
  for (std::size_t i = 0; i < replies.size(); ++i) {
    const auto& reply = replies[i];
    EXPECT_EQ(reply.at("id"), std::to_string(i + 1));
    const auto& candidates = reply.at("candidates");
    ASSERT_EQ(candidates.size(), 5u);
    const std::size_t best = reply.at("candidate");
    EXPECT_EQ(candidates.at(best).at("text"), reply.at("text"));
    EXPECT_EQ(candidates.at(best).at("score"), reply.at("score"));
    for (const auto& candidate : candidates) {
      EXPECT_LE(candidate.value("score", -1e300), reply.at("score").get<double>());
    }
    others += best > 0 ? 1 : 0;
    // Candidates are the unguided replies of the same seed.
    for (std::size_t k = 0; k < 2; ++k) {
      EXPECT_EQ(unguided[2 * i + k].at("text"), candidates.at(k).at("text"));
      EXPECT_EQ(unguided[2 * i + k].at("sample"), k);
      EXPECT_FALSE(unguided[2 * i + k].contains("score"));
    }
    EXPECT_LT(reply.at("log_probability").get<double>(), 0);
    EXPECT_LE(reply.at("tokens").get<int>(), 12);
  }
  EXPECT_GT(others, 10);
  EXPECT_EQ(run(folder, guided + " --threads 2 --out " + shell_quoted(folder / "out")).out, "");
  EXPECT_EQ(read_file(folder / "out"), one.out);

  const Outcome object = run(folder, "generate --json --max-tokens 5 --prompt hello --model " + model());
  ASSERT_EQ(object.status, 0) << object.err;
  const auto json = nlohmann::json::parse(object.out);
  EXPECT_EQ(json.at("replies").size(), 1u);
  EXPECT_EQ(json.at("replies").at(0).at("tokens"), json.at("timings").at("tokens"));
  for (const char* key : {"seconds", "tokens_per_second", "tokens", "decodes", "evaluated_rows"}) {
    EXPECT_GT(json.at("timings").at(key).get<double>(), 0) << key;
  }
  EXPECT_GT(json.at("flops").at("total").get<double>(), 0);
}

TEST(Cli, GenerateRefusesWhatItCannotDo) {
  const TemporaryFolder folder;
  const auto pairs = write_pairs(folder, 3);
  const std::string start = "generate --model " + model() + " ";
  const std::string prompt = start + "--prompt hello ";
  for (const char* option : {"--temperature -1", "--temperature nan", "--top-p 0", "--top-p 1.5", "--top-k -2",
                             "--min-p 2", "--repeat-penalty 0", "--max-tokens 0", "--max-tokens -3", "--samples 0",
                             "--samples 300", "--num-candidates 0 --guidance none", "--guidance magic",
                             "--guidance best-of-n", "--seed -x", "--head nowhere"}) {
    const Outcome outcome = run(folder, prompt + option + " --out " + shell_quoted(folder / "out"));
    EXPECT_EQ(outcome.status, 2) << option;
    EXPECT_EQ(outcome.out, "") << option;
    EXPECT_NE(outcome.err, "") << option;
  }
  expect_refused(run(folder, start), {"--prompt", "--data"});
  expect_refused(run(folder, prompt + "--data " + shell_quoted(pairs)), {"--prompt", "--data"});
  expect_refused(run(folder, prompt + "--head h --samples 2"), {"--samples"});
  expect_refused(run(folder, prompt + "--temperature -1"), {"temperature", "-1"});
  // A prompt that does not fit is found before anything is generated, and named.
  write_file(folder / "long",
             "{\"prompt\": \"a\"}\n{\"id\": \"the long one\", \"prompt\": \"" + std::string(300, 'q') + "\"}\n");
  expect_refused(
      run(folder, start + "--data " + shell_quoted(folder / "long") + " --out " + shell_quoted(folder / "out")),
      {"the long one", "256"});
  expect_refused(run(folder, start + "--data " + shell_quoted(folder / "none")), {"none"});
  expect_refused(run(folder, "generate --prompt x --model " + shell_quoted(pairs)), {"pairs.jsonl"});
  EXPECT_NE(run(folder, prompt + "--out " + shell_quoted(folder / "no folder" / "out")).status, 0);
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
}

/// Starts the program, sends it a signal after a while, and returns its wait status.
int run_and_signal(const std::vector<std::string>& arguments, int signal, std::chrono::milliseconds after) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::vector<char*> argv{const_cast<char*>(COALA_BINARY)};
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    std::freopen("/dev/null", "w", stdout);
    std::freopen("/dev/null", "w", stderr);
    ::execv(COALA_BINARY, argv.data());
    ::_exit(127);
  }
  std::this_thread::sleep_for(after);
  ::kill(child, signal);
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

TEST(Cli, AKilledAlignmentResumesToTheSameBytes) {
  const TemporaryFolder folder;
  const auto pairs = write_pairs(folder, 400);
  const auto reference = folder / "reference";
  const auto arguments = [&](const std::filesystem::path& out) {
    return std::vector<std::string>{"align",      "--model",      test_file("tiny-llama.gguf").string(),
                                    "--data",     pairs.string(), "--out",
                                    out.string(), "--threads",    "1"};
  };
  const auto joined = [&](const std::filesystem::path& out) {
    std::string line;
    for (const std::string& argument : arguments(out)) line += shell_quoted(argument) + " ";
    return line;
  };
  ASSERT_EQ(run(folder, joined(reference)).status, 0);
  const auto killed = folder / "killed";
  bool was_killed = false;
  for (const int milliseconds : {5, 30, 60, 120, 250, 500, 900}) {
    const int status = run_and_signal(arguments(killed), SIGKILL, std::chrono::milliseconds(milliseconds));
    was_killed = was_killed || WIFSIGNALED(status);
  }
  EXPECT_TRUE(was_killed);
  ASSERT_EQ(run(folder, joined(killed)).status, 0);
  for (const char* file : {"head.safetensors", "features/train.safetensors"}) {
    EXPECT_EQ(read_file(killed / file), read_file(reference / file)) << file;
  }
}

TEST(Cli, InterruptIsStatus130AndResumes) {
  const TemporaryFolder folder;
  const auto pairs = write_pairs(folder, 3000);
  const auto out = folder / "x.safetensors";
  const std::vector<std::string> arguments{"extract",    "--model",      test_file("tiny-llama.gguf").string(),
                                           "--data",     pairs.string(), "--out",
                                           out.string(), "--threads",    "1"};
  const int status = run_and_signal(arguments, SIGINT, std::chrono::milliseconds(150));
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST(Cli, InterruptedGenerationLeavesNoFile) {
  const TemporaryFolder folder;
  const auto pairs = write_pairs(folder, 3000);
  const auto out = folder / "replies";
  const std::vector<std::string> arguments{"generate",   "--model",      test_file("tiny-llama.gguf").string(),
                                           "--data",     pairs.string(), "--out",
                                           out.string(), "--threads",    "2"};
  const int status = run_and_signal(arguments, SIGINT, std::chrono::milliseconds(400));
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_FALSE(std::filesystem::exists(out));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1) << "something was left behind";
}

}  // namespace
}  // namespace coala
