// `coala generate` as its users see it.
#include <gtest/gtest.h>
#include <pty.h>

#include "program.h"

namespace coala {
namespace {

using namespace test;  // NOLINT

TEST(Generate, WritesWhatTheHeadLikesBest) {
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

TEST(Generate, RefusesWhatItCannotDo) {
  const TemporaryFolder folder;
  const auto pairs = write_pairs(folder, 20);
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
  const auto head = shell_quoted(folder / "h");
  const auto features = shell_quoted(folder / "f");
  const std::string extract = "extract --model " + model() + " --data " + shell_quoted(pairs);
  ASSERT_EQ(run(folder, extract + " --out " + features).status, 0);
  ASSERT_EQ(run(folder, "train --features " + features + " --out " + head).status, 0);
  expect_refused(run(folder, prompt + "--head " + head + " --samples 2"), {"--samples"});
  expect_refused(run(folder, prompt + "--head " + head + " --guidance token"), {"token head", "--token-rank"});
  expect_refused(run(folder, prompt + "--head " + head + " --guidance-scale 2"), {"--guidance-scale", "best-of-n"});
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

TEST(Generate, RefusesPromptsThatCannotBeContinued) {
  const TemporaryFolder folder;
  const std::string out = " --out " + shell_quoted(folder / "out");
  const std::string start = "generate --max-tokens 3 --model ";
  // The template adds 10 tokens to it.
  expect_refused(run(folder, start + model() + out + " --prompt " + std::string(300, 'q')),
                 {"310 tokens", "256", "no room for a reply", "hint: shorten the prompt"});
  // With the template an empty prompt still has tokens; the last that fits leaves room for a single one.
  EXPECT_EQ(run(folder, start + model() + " --prompt ''").status, 0);
  const Outcome last = run(folder, start + model() + " --prompt " + std::string(245, 'q'));
  ASSERT_EQ(last.status, 0) << last.err;
  EXPECT_EQ(lines_of(last.out).front().at("tokens"), 1);
  expect_refused(run(folder, start + model() + out + " --prompt " + std::string(246, 'q')),
                 {"record '1'", "256 tokens"});

  // Pairs that share no beginning have an empty prompt, without a template; here nothing else starts a text either.
  std::string bytes = read_file(test_file("tiny-llama.gguf"));
  const std::string key = std::string("tokenizer.ggml.add_bos_token") + std::string("\7\0\0\0", 4);
  const std::size_t at = bytes.find(key + '\1');
  ASSERT_NE(at, std::string::npos);
  bytes[at + key.size()] = '\0';
  write_file(folder / "model.gguf", bytes);
  write_file(folder / "pairs", R"({"id": "no beginning", "chosen": "abc def", "rejected": "xyz uvw"})");
  const std::string data = " --data " + shell_quoted(folder / "pairs");
  expect_refused(run(folder, start + shell_quoted(folder / "model.gguf") + data + out),
                 {"no beginning", "no tokens to continue", "hint: drop the record"});
  EXPECT_EQ(run(folder, start + model() + data).status, 0);
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
}

/// A head for the tiny model.
std::filesystem::path write_head(const TemporaryFolder& folder) {
  const auto features = folder / "features";
  const auto head = folder / "head";
  const std::string data = shell_quoted(write_pairs(folder, 40, "training.jsonl"));
  EXPECT_EQ(run(folder, "extract --model " + model() + " --data " + data + " --out " + shell_quoted(features)).status,
            0);
  EXPECT_EQ(run(folder, "train --features " + shell_quoted(features) + " --out " + shell_quoted(head)).status, 0);
  return head;
}

TEST(Generate, BranchGuidance) {
  const TemporaryFolder folder;
  const auto pairs = write_pairs(folder, 12);
  const std::string start = "generate --max-tokens 20 --seed 4 --model " + model() + " --data " + shell_quoted(pairs);
  const std::string guided = start + " --guidance branch --head " + shell_quoted(write_head(folder));
  const auto texts = [&](const std::string& arguments) {
    const Outcome outcome = run(folder, arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    std::vector<std::string> all;
    for (const auto& line : lines_of(outcome.out)) all.push_back(line.at("text"));
    EXPECT_EQ(all.size(), 12u);
    return all;
  };
  const auto plain = texts(start);
  EXPECT_EQ(texts(guided + " --guidance-scale 0 --guide-every 1"), plain);
  EXPECT_NE(texts(guided + " --guidance-scale 30"), plain);
  for (const char* options : {"--guidance-normalise zscore", "--guidance-normalise raw --guidance-scale 50",
                              "--look-ahead 3 --guide-every 2", "--guidance-preset published", "--num-candidates 3"}) {
    texts(guided + " " + options);
  }
  // A constant published scale is the preset's; an option that is given counts.
  EXPECT_NE(texts(guided + " --guidance-preset published --guidance-scale 40 --guide-every 1"),
            texts(guided + " --guidance-preset published"));

  const Outcome traced = run(folder, guided + " --guide-every 2 --trace --quiet --json");
  const auto json = nlohmann::json::parse(traced.out);
  EXPECT_GT(json.at("timings").at("guided_steps").get<int>(), 12);
  std::istringstream lines(traced.err);
  int scored = 0;
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_NE(line.find(" probability 0."), std::string::npos) << line;
    scored += line.find(" score ") != std::string::npos ? 1 : 0;
  }
  EXPECT_GE(count, json.at("timings").at("tokens").get<int>());
  EXPECT_GT(scored, 12);
  EXPECT_LT(scored, count);
}

TEST(Generate, RefusesGuidanceThatMakesNoSense) {
  const TemporaryFolder folder;
  const std::string prompt = "generate --prompt hello --model " + model() + " ";
  expect_refused(run(folder, prompt + "--guidance branch"), {"--head"});
  expect_refused(run(folder, prompt + "--guide-every 3"), {"--guide-every", "branch"});
  expect_refused(run(folder, prompt + "--guidance-scale 3 --guidance none"), {"--guidance-scale", "none"});
  const std::string guided = prompt + "--guidance branch --head " + shell_quoted(write_head(folder)) + " ";
  expect_refused(run(folder, guided + "--guide-every 0"), {"guide-every", "0"});
  expect_refused(run(folder, guided + "--guidance-scale nan"), {"guidance-scale"});
  expect_refused(run(folder, guided + "--num-candidates 1"), {"num-candidates"});
  expect_refused(run(folder, guided + "--num-candidates 256"), {"num-candidates"});
  expect_refused(run(folder, guided + "--look-ahead 0"), {"look-ahead"});
  EXPECT_EQ(run(folder, guided + "--guidance-normalise loud").status, 2);
}

TEST(Generate, StopsBiasesAndGrammars) {
  const TemporaryFolder folder;
  const std::string prompt = "generate --prompt hello --temperature 1 --model " + model() + " ";
  const auto text = [&](const std::string& options) {
    const Outcome outcome = run(folder, prompt + options);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.status == 0 ? lines_of(outcome.out).front().at("text").get<std::string>() : "";
  };
  const std::string whole = text("--max-tokens 60 --seed 3");
  ASSERT_GT(whole.size(), 12u);
  const std::string stop = whole.substr(5, 3);
  EXPECT_EQ(text("--max-tokens 60 --seed 3 --stop never --stop " + shell_quoted(stop)),
            whole.substr(0, whole.find(stop)));

  // Byte tokens are 3 to 258: with a large bias nothing else is drawn.
  EXPECT_EQ(text("--max-tokens 5 --logit-bias 100+1000"), "aaaaa");
  EXPECT_EQ(text("--max-tokens 4 --logit-bias 100+1000 --logit-bias 101+2000 --logit-bias 101-inf"), "aaaa");
  for (int seed = 0; seed < 5; ++seed) {
    const auto line = lines_of(run(folder, prompt + "--max-tokens 50 --ignore-eos --seed " + std::to_string(seed)).out);
    EXPECT_EQ(line.front().at("tokens"), 50);
  }
  write_file(folder / "grammar", R"(root ::= "yes" | "no")");
  const std::string grammar = "--grammar-file " + shell_quoted(folder / "grammar");
  EXPECT_EQ(text(grammar + " --logit-bias 124+100"), "yes");  // a y is token 3 + 'y'
  EXPECT_EQ(text(grammar + " --logit-bias 113+100 --logit-bias 100+1000"), "no");

  EXPECT_NE(text("--max-tokens 60 --seed 3 --presence-penalty 3 --frequency-penalty 2 --repeat-last-n 30"), whole);

  write_file(folder / "bad", R"(root ::= "yes)");
  expect_refused(run(folder, prompt + "--grammar-file " + shell_quoted(folder / "bad")), {"bad", "grammar"});
  expect_refused(run(folder, prompt + "--grammar-file nowhere"), {"nowhere"});
  expect_refused(run(folder, prompt + "--ignore-eos --grammar-file " + shell_quoted(folder / "grammar")),
                 {"--ignore-eos"});
  for (const char* bias : {"5", "x+1", "5*2", "5+", "5+1x", "-1+3", "5+nan", "99999+1"}) {
    expect_refused(run(folder, prompt + "--logit-bias " + bias), {"--logit-bias", bias[0] == '9' ? "99999" : bias});
  }
  expect_refused(run(folder, prompt + "--logit-bias 5+inf"), {"logit-bias"});
  expect_refused(run(folder, prompt + "--stop ''"), {"--stop"});
}

std::vector<std::string> batch(const std::filesystem::path& data, const std::filesystem::path& out) {
  return {"generate",   "--model",     test_file("tiny-llama.gguf").string(),
          "--data",     data.string(), "--out",
          out.string(), "--threads",   "2",
          "--samples",  "2",           "--max-tokens",
          "40"};
}

std::string as_line(const std::vector<std::string>& arguments) {
  std::string line;
  for (const std::string& argument : arguments) line += shell_quoted(argument) + " ";
  return line;
}

TEST(Generate, AKilledBatchGoesOnToTheSameBytes) {
  const TemporaryFolder folder;
  const auto pairs = write_pairs(folder, 300);
  const auto partial = folder / "killed.partial";
  ASSERT_EQ(run(folder, as_line(batch(pairs, folder / "whole"))).status, 0);
  for (int kills = 0; kills < 2; ++kills) {  // the second goes on where the first was
    const std::uintmax_t before = kills == 0 ? 0 : std::filesystem::file_size(partial);
    run_and_signal(batch(pairs, folder / "killed"), SIGKILL, [&] { return has_grown(partial, before + 2000); });
    ASSERT_TRUE(has_grown(partial, before));
  }
  ASSERT_FALSE(std::filesystem::exists(folder / "killed")) << "every run came to its end";
  // What a power cut may leave: half a line, and a record with one of its two.
  std::string content = read_file(partial);
  const auto end = content.rfind('\n', content.size() - 2);
  for (const std::string& torn : {content.substr(0, end + 1), content.substr(0, end + 20), content.substr(0, end - 5),
                                  content + std::string(100, '\0'), content.substr(0, 30), std::string()}) {
    write_file(partial, torn);
    std::filesystem::remove(folder / "killed");
    const Outcome outcome = run(folder, as_line(batch(pairs, folder / "killed")));
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(outcome.err.find("going on after") != std::string::npos, torn.size() > 30) << torn.size();
    EXPECT_EQ(read_file(folder / "killed"), read_file(folder / "whole"));
    EXPECT_FALSE(std::filesystem::exists(partial));
  }
  // The object lists the replies of earlier runs too.
  write_file(partial, content);
  const Outcome object = run(folder, as_line(batch(pairs, folder / "killed")) + "--json");
  EXPECT_EQ(nlohmann::json::parse(object.out).at("replies").size(), 600u);
  // The same partial file does not serve other settings.
  write_file(partial, content);
  expect_refused(run(folder, as_line(batch(pairs, folder / "killed")) + "--seed 1 --top-k 5"),
                 {"killed.partial", "seed, top_k", "another file"});
  expect_refused(run(folder, as_line(batch(write_pairs(folder, 299, "fewer.jsonl"), folder / "killed"))), {"data"});
  EXPECT_EQ(read_file(partial), content);
  write_file(partial, "something else\n");
  expect_refused(run(folder, as_line(batch(pairs, folder / "killed"))), {"killed.partial"});
}

TEST(Generate, AnInterruptedBatchLeavesItsBeginning) {
  const TemporaryFolder folder;
  const auto pairs = write_pairs(folder, 3000);
  const auto head = write_head(folder);
  for (const std::string guidance : {"none", "branch"}) {
    const auto out = folder / guidance;
    auto arguments = batch(pairs, out);
    for (const std::string& more : {std::string("--head"), head.string(), std::string("--guidance"), guidance}) {
      arguments.push_back(more);
    }
    const int status = run_and_signal(arguments, SIGINT, [&out] { return has_grown(out.string() + ".partial", 2000); });
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 130);
    EXPECT_FALSE(std::filesystem::exists(out));
    EXPECT_GT(std::filesystem::file_size(out.string() + ".partial"), 1000u);
  }
  // The pairs, those of the head, its features, it, and two partial files.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 6);
}

/// Output of the program on a terminal.
std::string run_on_terminal(const std::vector<std::string>& arguments) {
  int terminal = -1;
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child == 0) {
    std::vector<char*> argv{const_cast<char*>(COALA_BINARY)};
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    std::freopen("/dev/null", "w", stderr);
    ::execv(COALA_BINARY, argv.data());
    ::_exit(127);
  }
  std::string output;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(terminal, buffer, sizeof buffer)) > 0;) {
    output.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(terminal);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  std::erase(output, '\r');  // the terminal's
  return output;
}

TEST(Generate, OnePromptOnATerminalIsText) {
  const TemporaryFolder folder;
  const auto head = write_head(folder);
  for (const std::vector<std::string>& options :
       {std::vector<std::string>{}, {"--head", head.string()}, {"--head", head.string(), "--guidance", "branch"}}) {
    std::vector<std::string> arguments{"generate", "--model", test_file("tiny-llama.gguf").string(),
                                       "--prompt", "hello",   "--max-tokens",
                                       "30",       "--seed",  "6"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    std::string expected = lines_of(run(folder, as_line(arguments)).out).front().at("text");
    std::erase_if(expected,
                  [](char c) { return (static_cast<unsigned char>(c) < 32 && c != '\n' && c != '\t') || c == 127; });
    EXPECT_EQ(run_on_terminal(arguments), expected + "\n");
  }
}

/// The model is left with the two bytes of one letter, in any order.
TEST(Generate, BrokenCharactersOnATerminalAreReplaced) {
  const TemporaryFolder folder;
  int letters = 0;
  for (int seed = 0; seed < 5; ++seed) {
    // Byte tokens are 3 to 258; 0xc3 and 0xa9 are alike at this temperature.
    const std::vector<std::string> arguments{"generate",
                                             "--model",
                                             test_file("tiny-llama.gguf").string(),
                                             "--prompt",
                                             "hello",
                                             "--max-tokens",
                                             "40",
                                             "--seed",
                                             std::to_string(seed),
                                             "--top-k",
                                             "0",
                                             "--top-p",
                                             "1",
                                             "--temperature",
                                             "100",
                                             "--logit-bias",
                                             "198+100000",
                                             "--logit-bias",
                                             "172+100000"};
    const std::string text = lines_of(run(folder, as_line(arguments)).out).front().at("text");
    const std::string shown = run_on_terminal(arguments);
    EXPECT_EQ(shown, text + "\n") << seed;
    // JSON's writer refuses what is no UTF-8.
    EXPECT_NO_THROW(nlohmann::json(shown).dump()) << seed;
    letters += text.find("\xc3\xa9") != std::string::npos ? 1 : 0;
    EXPECT_NE(text.find("\xef\xbf\xbd"), std::string::npos) << seed;
  }
  EXPECT_GT(letters, 2);
}

/// U+009B starts a command to a terminal as ESC [ does; its two bytes are all that the model is left with.
TEST(Generate, ControlCharactersDoNotReachATerminal) {
  const TemporaryFolder folder;
  const std::string control = "\xc2\x9b";
  int left_out = 0;
  for (int seed = 0; seed < 5; ++seed) {
    std::vector<std::string> arguments{"generate",          "--model", test_file("tiny-llama.gguf").string(),
                                       "--prompt",          "hello",   "--seed",
                                       std::to_string(seed)};
    for (const char* option : {"--max-tokens", "40", "--top-k", "0", "--top-p", "1", "--temperature", "100",
                               "--logit-bias", "197+100000", "--logit-bias", "158+100000"}) {
      arguments.emplace_back(option);
    }
    std::string expected = lines_of(run(folder, as_line(arguments)).out).front().at("text");
    for (std::size_t at = expected.find(control); at != std::string::npos; at = expected.find(control)) {
      expected.erase(at, control.size());
      ++left_out;
    }
    EXPECT_EQ(run_on_terminal(arguments), expected + "\n") << seed;
  }
  EXPECT_GT(left_out, 10);
}

}  // namespace
}  // namespace coala
