// The program as its users see it: exit statuses, messages, files, resuming.
#include <gtest/gtest.h>

#include "program.h"

namespace coala {
namespace {

using namespace test;  // NOLINT

TEST(Cli, HelpOfEveryCommandShowsDefaults) {
  const TemporaryFolder folder;
  const Outcome top = run(folder, "--help");
  EXPECT_EQ(top.status, 0);
  for (const char* command : {"align", "prepare", "extract", "train", "eval", "score", "generate", "chat", "inspect"}) {
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

TEST(Cli, WhatThereIsNotIsNamedWithWhatThereIs) {
  const TemporaryFolder folder;
  for (const auto& [arguments, said] : {std::pair{"algin --model m", "did you mean align?"},
                                        {"tune", "the commands are"},
                                        {"align --modle m", "did you mean --model?"},
                                        {"generate -m m -p hi --max-token 3", "did you mean --max-tokens?"},
                                        {"generate -m m -p hi extra words", "\"extra\" belongs to no option"},
                                        {"train -x", "there is no option \"-x\""},
                                        {"evaluator", "did you mean eval?"},
                                        {"--versoin", "did you mean --version?"},
                                        {"align --versoin", "did you mean coala --version"},
                                        {"-m m -p hi", "options come behind a command"},
                                        {"help nonsense", "there is no command \"nonsense\""},
                                        {"generate -m m --te 1", "did you mean --template or --temperature?"}}) {
    expect_refused(run(folder, arguments), {said});
  }
  EXPECT_EQ(run(folder, "help").status, 0);
  EXPECT_NE(run(folder, "-v").out.find("coala "), std::string::npos);
  // Values may look like options, and llama.cpp's letters work.
  const Outcome outcome = run(folder, "generate -m " + model() + " -p --modle -n 2 -t 1 -s 3 --temperature 0");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
}

TEST(Cli, NamesOfOtherProgramsAreNamedAsTheyAreHere) {
  const TemporaryFolder folder;
  const std::string generate = "generate -m m -p hi ";
  for (const auto& [arguments, said] :
       {std::pair{generate + "--temp 0.2", "--temp is --temperature here"},
        {generate + "--temp=0.2", "--temp is --temperature here"},
        {generate + "-ngl 0", "-ngl is --gpu-layers here"},
        {generate + "--n-predict 3", "--n-predict is --max-tokens here"},
        {generate + "--predict 3", "--predict is --max-tokens here"},
        {generate + "--max_new_tokens 3", "--max_new_tokens is --max-tokens here"},
        {generate + "--scale 2", "--scale is --guidance-scale here"},
        {generate + "-sys hello", "-sys is --system of coala chat; coala generate has none"},
        {generate + "--ctx-size 512", "--ctx-size is --cells of coala serve"},
        {generate + "--max_tokens 3", "it is written --max-tokens"},
        {generate + "-top-k 3", "it is written --top-k"},
        {"chat -m m -sys hello", "-sys is --system here"},
        {"chat -m m --system-prompt hello", "--system-prompt is --system here"},
        {"serve -m m -c 512", "-c is --cells here"},
        {"align --temp 1", "--temp is --temperature of coala "},
        {"run m", "run is chat or generate here"},
        {"evaluate --head h", "evaluate is eval here"}}) {
    SCOPED_TRACE(arguments);
    expect_refused(run(folder, arguments), {said});
  }
}

TEST(Cli, HelpIsAskedForInEveryOrder) {
  const TemporaryFolder folder;
  const Outcome help = run(folder, "align --help");
  EXPECT_EQ(help.status, 0);
  for (const char* arguments : {"help align", "align help"}) {
    const Outcome other = run(folder, arguments);
    EXPECT_EQ(other.status, 0) << other.err;
    EXPECT_EQ(other.out, help.out);
  }
  EXPECT_EQ(run(folder, "help").out, run(folder, "--help").out);
}

TEST(Cli, SaysWhatWasFoundAndWhatIsPossible) {
  const TemporaryFolder folder;
  const std::string generate = "generate -m m -p hi ";
  const std::string train = "train --features x --out y ";
  for (const auto& [arguments, said] :
       {std::pair{generate + "--guidance-scale 1e9",
                  "--guidance-scale is \"1e9\"; it must be a number, -1000000 to 1000000"},
        {generate + "--guidance-scale much", "--guidance-scale is \"much\"; it must be a number, -1000000"},
        {generate + "--max-tokens 0", "--max-tokens is \"0\"; it must be a whole number above 0"},
        {generate + "--max-tokens 1.5", "--max-tokens is \"1.5\"; it must be a whole number above 0"},
        {generate + "--samples 0", "--samples is \"0\"; it must be a whole number, 1 to 256"},
        {generate + "--guidance nope", "--guidance is \"nope\"; it must be "},
        {generate + "--alternation nope", "--alternation is \"nope\"; it must be paper or code"},
        {train + "--threads -3", "--threads is \"-3\"; it must be a whole number, 0 to 4096"},
        {train + "--seed abc", "--seed is \"abc\"; it must be a whole number"},
        {train + "--model-class none", "--model-class is \"none\"; it must be "},
        {train + "--folds", "--folds has no value behind it; it must be a whole number"},
        {train + "--folds 2 --folds 3", "--folds is given 2 times"},
        {train + "--token-head=maybe", "--token-head takes no value"},
        {generate + "--lora-scale 2", "--lora-scale needs --lora beside it"}}) {
    SCOPED_TRACE(arguments);
    const Outcome outcome = run(folder, arguments);
    expect_refused(outcome, {said});
    for (const char* theirs : {"not in range", "Could not convert", "expected one of"}) {
      EXPECT_EQ(outcome.err.find(theirs), std::string::npos) << outcome.err;
    }
  }
}

TEST(Cli, SaysWhatIsReplaced) {
  const TemporaryFolder folder;
  const auto pairs = write_pairs(folder, 20);
  const std::string data = " --data " + shell_quoted(pairs);
  ASSERT_EQ(run(folder, "extract --model " + model() + data + " --out " + shell_quoted(folder / "f")).status, 0);
  const std::string there = "is there already, and is replaced when all is written";
  for (const std::string& command :
       {"prepare" + data + " --out " + shell_quoted(folder / "p.jsonl"),
        "train --features " + shell_quoted(folder / "f") + " --out " + shell_quoted(folder / "h"),
        "generate --model " + model() + data + " --max-tokens 1 --out " + shell_quoted(folder / "r.jsonl"),
        "sample --model " + model() + data + " --max-tokens 1 --out " + shell_quoted(folder / "s.jsonl")}) {
    SCOPED_TRACE(command);
    const Outcome first = run(folder, command);
    ASSERT_EQ(first.status, 0) << first.err;
    EXPECT_EQ(first.err.find("is there already"), std::string::npos) << first.err;
    const Outcome second = run(folder, command);
    ASSERT_EQ(second.status, 0) << second.err;
    const std::size_t said = second.err.find(there);
    EXPECT_NE(said, std::string::npos) << second.err;
    EXPECT_EQ(second.err.find(there, said + 1), std::string::npos) << second.err;
    EXPECT_EQ(run(folder, command + " --quiet").err.find("is there already"), std::string::npos);
  }
  // What goes on with its output replaces nothing.
  const Outcome again = run(folder, "extract --model " + model() + data + " --out " + shell_quoted(folder / "f"));
  EXPECT_EQ(again.err.find("is there already"), std::string::npos) << again.err;
}

TEST(Cli, AnotherModelIsNoMatterOfItsLength) {
  const TemporaryFolder folder;
  const auto pairs = write_pairs(folder, 40);
  const std::string data = " --data " + shell_quoted(pairs);
  ASSERT_EQ(run(folder, "extract --model " + model() + data + " --out " + shell_quoted(folder / "f")).status, 0);
  ASSERT_EQ(
      run(folder, "train --features " + shell_quoted(folder / "f") + " --out " + shell_quoted(folder / "h")).status, 0);
  // The head's maximum length is 256 tokens, all that the model has.
  std::string bytes = read_file(test_file("tiny-llama.gguf"));
  const std::string key = "llama.context_length";
  const std::size_t value = bytes.find(key) + key.size() + 4;  // behind the type
  ASSERT_EQ(bytes.substr(value, 4), std::string("\0\1\0\0", 4));
  bytes[value] = static_cast<char>(128);
  bytes[value + 1] = 0;
  write_file(folder / "other.gguf", bytes);
  const std::string use = " --model " + shell_quoted(folder / "other.gguf") + " --head " + shell_quoted(folder / "h");
  for (const char* command : {"score", "eval", "generate"}) {
    const Outcome outcome = run(folder, command + use + data);
    expect_refused(outcome, {"mismatch", "backbone", "use the model"});
    EXPECT_EQ(outcome.err.find("--max-length"), std::string::npos) << outcome.err;
  }
}

TEST(Cli, WhatCountsForRepliesNeedsReplies) {
  const TemporaryFolder folder;
  for (const char* option : {"--out x", "--judge-command cat", "--figure x", "--temperature 1"}) {
    const std::string name = std::string(option).substr(0, std::string(option).find(' '));
    expect_refused(run(folder, std::string("eval --head h --features f ") + option), {name + " needs --generate"});
  }
}

TEST(Cli, ScoresAreReadAsAnswers) {
  const TemporaryFolder folder;
  const auto pairs = write_pairs(folder, 40);
  const std::string quoted_model = " --model " + model();
  ASSERT_EQ(
      run(folder, "extract" + quoted_model + " --data " + shell_quoted(pairs) + " --out " + shell_quoted(folder / "f"))
          .status,
      0);
  ASSERT_EQ(
      run(folder, "train --features " + shell_quoted(folder / "f") + " --out " + shell_quoted(folder / "h")).status, 0);
  const auto score = [&](const std::filesystem::path& data) {
    const Outcome outcome =
        run(folder, "score" + quoted_model + " --head " + shell_quoted(folder / "h") + " --data " + shell_quoted(data));
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.out;
  };
  write_file(folder / "answers", R"({"id": "a", "prompt": "a hen", "responses": ["ran and ran", "sand"]}
{"id": "b", "prefix": "It was ", "text": "sand"}
)");
  for (const auto& data : {pairs, folder / "answers"}) {
    const std::string first = score(data);
    write_file(folder / "scores", first);
    const auto before = lines_of(first);
    const auto after = lines_of(score(folder / "scores"));
    ASSERT_EQ(after.size(), before.size());
    for (std::size_t i = 0; i < before.size(); ++i) {
      const char* const asked = before[i].contains("prompt") ? "prompt" : "prefix";
      EXPECT_EQ(after[i].at(asked), before[i].at(asked));
      EXPECT_EQ(after[i].at("text"), before[i].at("text"));
      EXPECT_EQ(after[i].at("id"), before[i].at("id"));
      EXPECT_NEAR(after[i].at("score").get<double>(), before[i].at("score").get<double>(), 1e-4);
    }
    const std::string scores = " --data " + shell_quoted(folder / "scores");
    // Prompts are taken from it, and a head's score is nobody's judgement.
    EXPECT_EQ(run(folder, "generate" + quoted_model + scores + " --max-tokens 1").status, 0);
    for (const std::string& command : {"prepare" + scores + " --out " + shell_quoted(folder / "x"),
                                       "align" + quoted_model + scores + " --out " + shell_quoted(folder / "y")}) {
      SCOPED_TRACE(command);
      expect_refused(run(folder, command), {"nobody has compared", "coala choose --data", "coala score --head"});
    }
    // What they cannot tell is not told: a mean is, and no accuracy.
    const std::string head = shell_quoted(folder / "h");
    const Outcome described = run(folder, "eval --json" + quoted_model + scores + " --head " + head);
    ASSERT_EQ(described.status, 0) << described.err;
    const auto metrics = nlohmann::json::parse(described.out);
    double sum = 0;
    for (const auto& one : before) sum += one.at("score").get<double>();
    EXPECT_NEAR(metrics.at("score/mean").get<double>(), sum / static_cast<double>(before.size()), 1e-4);
    EXPECT_EQ(metrics.at("eval_rows"), before.size());
    EXPECT_FALSE(metrics.contains("eval_accuracy"));
    const Outcome twice = run(folder, "eval" + quoted_model + scores + " --compare " + head + " " + head);
    EXPECT_NE(twice.out.find("which head is right, they cannot tell"), std::string::npos) << twice.err;
    // A program chooses and judges; longer lines are better.
    write_file(folder / "judge.py",
               "import json, sys\n"
               "for line in sys.stdin:\n"
               "    print(json.dumps({'score': len(json.loads(line)['response'])}), flush=True)\n");
    const std::string judge = "\"python3 " + shell_quoted(folder / "judge.py") + "\"";
    std::filesystem::remove(folder / "chosen");
    const Outcome chosen =
        run(folder, "choose" + scores + " --judge-command " + judge + " --out " + shell_quoted(folder / "chosen"));
    ASSERT_EQ(chosen.status, 0) << chosen.err;
    EXPECT_GE(lines_of(read_file(folder / "chosen")).size(), 1u);
    const Outcome judged = run(folder, "judge --replies " + shell_quoted(folder / "scores") + " --against " +
                                           shell_quoted(folder / "scores") + " --judge-command " + judge +
                                           " --transcript " + shell_quoted(folder / (data == pairs ? "t1" : "t2")));
    EXPECT_EQ(judged.status, 0) << judged.err;
  }
  // Somebody's own score is no head's: what it means is asked.
  write_file(folder / "rated", "{\"prompt\": \"a\", \"response\": \"b\", \"score\": 3}\n");
  expect_refused(
      run(folder, "prepare --data " + shell_quoted(folder / "rated") + " --out " + shell_quoted(folder / "x")),
      {"no known data shape"});
}

TEST(Cli, OtherFilesAreNamedForWhatTheyAre) {
  const TemporaryFolder folder;
  write_file(folder / "d.csv", "prompt,chosen,rejected\na,b,c\n");
  write_file(folder / "d.txt", "What is it?\nWhere is it?\n");
  for (const auto& [name, said] : {std::pair{"d.csv", "csv.DictReader"}, {"d.txt", "one prompt a line"}}) {
    expect_refused(
        run(folder, "prepare --data " + shell_quoted(folder / name) + " --out " + shell_quoted(folder / "x")),
        {name, said});
  }
  const Outcome written =
      run(folder, "generate --model " + model() + " --max-tokens 1 --data " + shell_quoted(folder / "d.txt"));
  ASSERT_EQ(written.status, 0) << written.err;
  EXPECT_EQ(lines_of(written.out).at(1).at("prompt").at(0).at("content"), "Where is it?");
}

TEST(Cli, ScoresAnswersThatNobodyHasJudged) {
  const TemporaryFolder folder;
  const auto pairs = write_pairs(folder, 60);
  const std::string use = " --model " + model() + " --head " + shell_quoted(folder / "a" / "head.safetensors");
  ASSERT_EQ(run(folder, "align --model " + model() + " --data " + shell_quoted(pairs) + " --gates 0 --out " +
                            shell_quoted(folder / "a"))
                .status,
            0);
  const auto scores = [&](const std::string& arguments) {
    const Outcome outcome = run(folder, "score --json" + use + " " + arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out).at("scores");
  };
  const auto given = scores("--prompt 'a hen' --response 'ran and ran' sand");
  ASSERT_EQ(given.size(), 2u);
  EXPECT_EQ(given[0].at("text"), "ran and ran");
  EXPECT_EQ(given[0].at("rank").get<int>() + given[1].at("rank").get<int>(), 3);
  EXPECT_EQ(given[0].at("rank") == 1, given[0].at("score") > given[1].at("score"));
  // The same as the data of a pair, and in every form of answers.
  write_file(folder / "pair", R"({"prompt": "a hen", "chosen": "ran and ran", "rejected": "sand"})");
  const auto pair = scores("--data " + shell_quoted(folder / "pair"));
  EXPECT_EQ(pair[0].at("score"), given[0].at("score"));
  EXPECT_EQ(pair[1].at("score"), given[1].at("score"));
  write_file(folder / "forms", R"({"prompt": "a hen", "responses": ["ran and ran", "sand"]}
{"messages": [{"role": "user", "content": "a hen"}, {"role": "assistant", "content": "sand"}]}
{"prompt": "a hen", "completion": "ran and ran"}
)");
  const auto forms = scores("--data " + shell_quoted(folder / "forms"));
  ASSERT_EQ(forms.size(), 4u);
  EXPECT_EQ(forms[0].at("score"), given[0].at("score"));
  EXPECT_EQ(forms[2].at("score"), given[1].at("score"));
  EXPECT_EQ(forms[3].at("score"), given[0].at("score"));
  EXPECT_EQ(forms[0].at("id"), "1.1");
  // Replies of generate are read again, as answers and as prompts.
  ASSERT_EQ(run(folder, "generate --model " + model() + " --data " + shell_quoted(folder / "forms") +
                            " --samples 2 --max-tokens 3 --out " + shell_quoted(folder / "r.jsonl"))
                .status,
            0);
  EXPECT_EQ(scores("--data " + shell_quoted(folder / "r.jsonl")).size(), 8u);
  EXPECT_EQ(
      run(folder, "generate --model " + model() + " --max-tokens 1 --data " + shell_quoted(folder / "r.jsonl")).status,
      0);
  expect_refused(run(folder, "score" + use), {"--data or --response"});
  expect_refused(run(folder, "extract --model " + model() + " --out x --data " + shell_quoted(folder / "r.jsonl")),
                 {"nobody has compared", "coala choose"});
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
  // So are metrics that somebody has changed, and what is wrong with them is said.
  auto changed = nlohmann::ordered_json::parse(read_file(out / "metrics.json"));
  changed["solver"]["seconds"] = "long";
  write_file(out / "metrics.json", changed.dump());
  const Outcome again = run(folder, arguments);
  EXPECT_EQ(again.status, 0);
  EXPECT_NE(
      again.err.find("metrics.json: solver.seconds is the text 'long'; it must be a number: the run is done again"),
      std::string::npos)
      << again.err;
  EXPECT_TRUE(nlohmann::json::parse(read_file(out / "metrics.json")).at("solver").at("seconds").is_number());

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
  expect_refused(run(folder, "inspect " + shell_quoted(folder / "cut.gguf")), {"cut.gguf", "truncated"});
  EXPECT_FALSE(std::filesystem::exists(folder / "x"));
}

TEST(Cli, InspectSaysWhatAModelIs) {
  const TemporaryFolder folder;
  const Outcome inspected = run(folder, "inspect --json " + model());
  ASSERT_EQ(inspected.status, 0) << inspected.err;
  const nlohmann::json json = nlohmann::json::parse(inspected.out);
  EXPECT_EQ(json["kind"], "GGUF model");
  EXPECT_EQ(json["model"], (nlohmann::json{{"name", "tiny-llama"},
                                           {"architecture", "llama"},
                                           {"parameters", 37664},
                                           {"tensors", 21},
                                           {"file_type", "all F32"},
                                           {"dimension", 32},
                                           {"layers", 2},
                                           {"vocabulary", 298},
                                           {"context_tokens", 256},
                                           {"chat_template", true}}));
  // The same in words; a file without a template, and with an order to the terminal in its name.
  std::string gguf = read_file(test_file("tiny-llama.gguf"));
  const auto replace = [&](const std::string& from, const std::string& to) {
    gguf.replace(gguf.find(from), from.size(), to);
  };
  replace("tokenizer.chat_template", "tokenizer.chat_nothing_");
  replace("tiny-llama", "\x1b[2J-llama");
  write_file(folder / "bare.gguf", gguf);
  const Outcome bare = run(folder, "inspect " + shell_quoted(folder / "bare.gguf"));
  EXPECT_EQ(bare.status, 0) << bare.err;
  for (const char* line : {"GGUF model", "architecture: \"llama\"", "dimension: 32", "chat_template: no"}) {
    EXPECT_NE(bare.out.find(line), std::string::npos) << bare.out;
  }
  EXPECT_EQ(bare.out.find('\x1b'), std::string::npos);
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
  const int status =
      run_and_signal(arguments, SIGINT, [&out] { return std::filesystem::exists(out.string() + ".parts"); });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_FALSE(std::filesystem::exists(out));
}

}  // namespace
}  // namespace coala
