// What the records of every shape mean, on examples worked out by hand.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/atomic_file.h"
#include "data/pair_shapes.h"
#include "data/reader.h"
#include "support.h"

namespace coala {
namespace {

using test::shared_file;
using test::TemporaryFolder;

Prompt asks(const std::string& question) {
  return {{{"user", question}}, {}};
}

class Shapes : public ::testing::Test {
 protected:
  template <class Kind>
  std::vector<Kind> read(const std::string& content, const ReaderOptions& options = {}) {
    write_file(folder_ / "data", content);
    RecordReader reader({{folder_ / "data"}, options});
    shape_ = reader.shape();
    std::vector<Kind> result;
    for (Record record; reader.next(record);) result.push_back(std::get<Kind>(record));
    counts_ = reader.counts();
    return result;
  }

  /// The one pair of a file.
  Pair pair(const std::string& content, const ReaderOptions& options = {}) {
    const std::vector<Pair> pairs = read<Pair>(content, options);
    EXPECT_EQ(pairs.size(), 1u);
    return pairs.empty() ? Pair() : pairs.front();
  }

  void expect_error(const std::string& content, const std::vector<std::string>& parts,
                    const ReaderOptions& options = {}) {
    try {
      read<Pair>(content, options);
      ADD_FAILURE() << "no error for " << content;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadInput) << error.what();
      for (const std::string& part : parts) {
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << "\"" << part << "\" in: " << error.what();
      }
    }
  }

  TemporaryFolder folder_;
  ReaderCounts counts_;
  Shape shape_ = Shape::Auto;
};

void expect_pair(const Pair& pair, const Prompt& prompt, const std::string& chosen, const std::string& rejected) {
  EXPECT_EQ(pair.prompt, prompt);
  EXPECT_EQ(pair.chosen, chosen);
  EXPECT_EQ(pair.rejected, rejected);
}

const std::string kGood = R"("chosen": "good", "rejected": "bad")";

TEST_F(Shapes, TrlExplicit) {
  const Pair text = pair(R"({"id": "x7", "prompt": "p", "margin": 0.5, "weight": 2, )" + kGood + "}");
  expect_pair(text, asks("p"), "good", "bad");
  EXPECT_EQ(shape_, Shape::TrlExplicit);
  EXPECT_EQ(text.id, "x7");
  EXPECT_EQ(text.margin, 0.5);
  EXPECT_EQ(text.weight, 2);
  // Message lists; names of roles as people write them; a content in parts.
  const Pair list =
      pair(R"({"id": 12, "prompt": [{"role": "system", "content": "s"}, {"role": "human", "content": "p"}],
    "chosen": [{"role": "assistant", "content": [{"type": "text", "text": "go"}, {"type": "text", "text": "od"}]}],
    "rejected": [{"role": "gpt", "content": "bad"}], "margin": null})");
  expect_pair(list, {{{"system", "s"}, {"user", "p"}}, {}}, "good", "bad");
  EXPECT_EQ(shape_, Shape::TrlExplicit);
  EXPECT_EQ(list.id, "12");
  EXPECT_FALSE(list.margin.has_value());
}

TEST_F(Shapes, ScoresGiveTheMargin) {
  const auto scored = [&](const std::string& rest) { return R"({"prompt": "p", )" + kGood + ", " + rest + "}\n"; };
  EXPECT_EQ(pair(scored(R"("score_chosen": 8.5, "score_rejected": 6)")).margin, 2.5);
  EXPECT_EQ(pair(scored(R"("score_chosen": 8.5, "score_rejected": 6, "margin": 1)")).margin, 1);
  EXPECT_FALSE(pair(scored(R"("score_chosen": 8.5)")).margin.has_value());
  const std::string tie = scored(R"("score_chosen": 6, "score_rejected": 6)");
  const std::string wrong = scored(R"("score_chosen": 5, "score_rejected": 6)");
  EXPECT_EQ(read<Pair>(tie + scored("\"x\": 0") + wrong + wrong).size(), 1u);
  EXPECT_EQ(counts_.ties, 1u);
  EXPECT_EQ(counts_.contradictions, 2u);
  for (const char* weight : {"-1", "\"1\"", "true"}) {
    expect_error(scored(std::string("\"weight\": ") + weight), {"line 1", "\"weight\"", "expected"});
  }
  expect_error(scored(R"("score_chosen": 1e308, "score_rejected": -1e308)"), {"line 1", "range"});
}

TEST_F(Shapes, TrlImplicitTexts) {
  expect_pair(pair(R"({"chosen": "The sky is blue.", "rejected": "The sky is green."})"), {{}, "The sky is"}, " blue.",
              " green.");
  EXPECT_EQ(shape_, Shape::TrlImplicit);
  // Inside a word: back to the space before it. é and è share their first byte.
  expect_pair(pair(R"({"chosen": "le bl\u00e9 x", "rejected": "le bl\u00e8 x"})"), {{}, "le"}, " bl\u00e9 x",
              " bl\u00e8 x");
  expect_pair(pair(R"({"chosen": "same start", "rejected": "other"})"), {{}, ""}, "same start", "other");
  // One is the beginning of the other: neither response may be empty.
  expect_pair(pair(R"({"chosen": "a b", "rejected": "a b c"})"), {{}, "a"}, " b", " b c");
}

TEST(SharedPrefix, EndsBeforeWhiteSpaceThatBothHave) {
  EXPECT_EQ(shared_prefix_length("", ""), 0u);
  EXPECT_EQ(shared_prefix_length("a", ""), 0u);
  EXPECT_EQ(shared_prefix_length("a b", "a\nb"), 1u) << "different white space at the same place";
  EXPECT_EQ(shared_prefix_length("a  b", "a  c"), 1u) << "all of the white space goes to the responses";
  EXPECT_EQ(shared_prefix_length("a, x", "a; y"), 0u);
  EXPECT_EQ(shared_prefix_length("ab c", "abd c"), 0u) << "the word goes on in one of them";
  EXPECT_EQ(shared_prefix_length("abd c", "ab c"), 0u);
  EXPECT_EQ(shared_prefix_length(" a x", " a y"), 2u);
  EXPECT_EQ(shared_prefix_length(" x", " y"), 0u) << "nothing stands before that space";
}

TEST_F(Shapes, TrlImplicitMessages) {
  const std::string head = R"([{"role": "user", "content": "p"}, {"role": "assistant", "content": "q"},
                               {"role": "user", "content": "r"}, )";
  expect_pair(pair("{\"chosen\": " + head + R"({"role": "assistant", "content": "good"}], "rejected": )" + head +
                   R"({"role": "assistant", "content": "bad"}]})"),
              {{{"user", "p"}, {"assistant", "q"}, {"user", "r"}}, {}}, "good", "bad");
  EXPECT_EQ(shape_, Shape::TrlImplicit);
  const std::string user = R"([{"role": "user", "content": "p"}])";
  const std::string both = R"([{"role": "user", "content": "p"}, {"role": "assistant", "content": "x"}])";
  expect_error("{\"chosen\": " + user + ", \"rejected\": " + both + "}",
               {"line 1", "\"chosen\"", "by user", "by the assistant"});
  expect_error("{\"chosen\": [], \"rejected\": " + both + "}", {"1 with a prompt or response that is null or missing"});
  expect_error(R"({"chosen": [{"role": "tool", "content": "x"}], "rejected": []})", {"line 1", "\"tool\""});
  expect_error(R"({"chosen": [{"role": "user"}], "rejected": []})", {"message 1", "\"content\""});
  expect_error(R"({"chosen": [7], "rejected": ["y"]})", {"item 1", "neither a text nor a list"});
}

TEST_F(Shapes, H4RepeatsThePrompt) {
  const auto h4 = [](const std::string& prompt, const std::string& head) {
    return R"({"prompt": ")" + prompt + R"(", "chosen": [)" + head + R"({"role": "assistant", "content": "good"}],
      "rejected": [)" +
           head + R"({"role": "assistant", "content": "bad"}], "score_chosen": 9.0, "score_rejected": 7.5})";
  };
  const std::string turn = R"({"role": "user", "content": "p"}, )";
  const Pair stripped = pair(h4("p", turn));
  expect_pair(stripped, asks("p"), "good", "bad");
  EXPECT_EQ(stripped.margin, 1.5);
  EXPECT_EQ(shape_, Shape::H4);
  expect_pair(pair(h4(" p ", turn)), asks("p"), "good", "bad");  // trimmed on one side only
  expect_pair(pair(h4("p", "")), asks("p"), "good", "bad");      // not repeated at all
  expect_pair(pair(h4("p", R"({"role": "system", "content": "s"}, )")), {{{"system", "s"}, {"user", "p"}}, {}}, "good",
              "bad");
  expect_error(h4("something else", turn), {"line 1", "something else"});
}

TEST_F(Shapes, HhRlhf) {
  const auto hh = [](const std::string& chosen, const std::string& rejected) {
    return R"({"chosen": ")" + chosen + R"(", "rejected": ")" + rejected + "\"}\n";
  };
  const std::string head = R"(\n\nHuman: p\n\nAssistant: q\n\nHuman: r\n\nAssistant: )";
  const Prompt prompt{{{"user", "p"}, {"assistant", "q"}, {"user", "r"}}, {}};
  expect_pair(pair(hh(head + "good", head + "bad")), prompt, "good", "bad");
  EXPECT_EQ(shape_, Shape::HhRlhf);
  EXPECT_EQ(counts_.diverged_early, 0u);
  // "Human:" inside a turn is no marker without its blank line.
  expect_pair(pair(hh(head + R"(the\nHuman: x)", head + "bad")), prompt, "the\nHuman: x", "bad");
  // Parting at an earlier answer: all that follows is the response. Parting at a question: no pair.
  const std::string early = R"(\n\nHuman: p\n\nAssistant: other\n\nHuman: r\n\nAssistant: bad)";
  expect_pair(pair(hh(head + "good", early)), asks("p"), "q\n\nHuman: r\n\nAssistant: good",
              "other\n\nHuman: r\n\nAssistant: bad");
  EXPECT_EQ(counts_.diverged_early, 1u);
  const std::string question = R"(\n\nHuman: else\n\nAssistant: bad)";
  const std::string unanswered = R"(\n\nHuman: p\n\nAssistant: q\n\nHuman: r)";
  EXPECT_EQ(read<Pair>(hh(head + "good", head + "bad") + hh(head + "good", question) + hh(unanswered, unanswered) +
                       hh(head, head + "bad"))
                .size(),
            1u);
  EXPECT_EQ(counts_.no_shared_prompt, 1u);
  EXPECT_EQ(counts_.empty, 2u);
  // The variant with a prompt column.
  expect_pair(pair(R"({"prompt": "\n\nHuman: p\n\nAssistant:", "chosen": " good", "rejected": "bad"})"), asks("p"),
              "good", "bad");
  EXPECT_EQ(shape_, Shape::HhRlhf);
  expect_error(R"({"prompt": "\n\nHuman: p", "chosen": " good", "rejected": "bad"})", {"line 1", "Assistant:"});
  expect_error(hh(head + "good", "bad"), {"line 1", "\"bad\"", "Human: "});
}

TEST_F(Shapes, Dsp) {
  const std::string head = R"(\n\nHuman: p\n\nAssistant: )";
  const auto dsp = [&](const std::string& score) {
    return R"({"text": [")" + head + R"(a", ")" + head + R"(b"], "score": )" + score + "}\n";
  };
  expect_pair(pair(dsp("[1.0, 0.0]")), asks("p"), "a", "b");
  EXPECT_EQ(shape_, Shape::Dsp);
  EXPECT_FALSE(pair(dsp("[1, 0]")).margin.has_value()) << "1 and 0 only say which one is better";
  expect_pair(pair(dsp("[0, 1]")), asks("p"), "b", "a");
  EXPECT_EQ(pair(dsp("[2, 5.5]")).margin, 3.5);
  EXPECT_EQ(read<Pair>(dsp("[1, 1]") + dsp("[1, 0]")).size(), 1u);
  EXPECT_EQ(counts_.ties, 1u);
  expect_pair(pair(R"({"text": ["so good", "so bad"], "score": [1, 0]})"), {{}, "so"}, " good", " bad");
  expect_error(R"({"text": ["a", "b", "c"], "score": [1, 0]})", {"line 1", "two"});
  expect_error(dsp("[1]"), {"line 1", "two"});
  expect_error(dsp("[\"1\", \"0\"]"), {"line 1", "two"});
}

TEST_F(Shapes, HelpSteerPairsWithinAPrompt) {
  const auto line = [](const std::string& prompt, const std::string& response, int help, int correct, int coherent,
                       int verbose) {
    return R"({"prompt": ")" + prompt + R"(", "response": ")" + response + R"(", "helpfulness": )" +
           std::to_string(help) + R"(, "correctness": )" + std::to_string(correct) + R"(, "coherence": )" +
           std::to_string(coherent) + R"(, "complexity": 1, "verbosity": )" + std::to_string(verbose) + "}\n";
  };
  // Totals 9, 5, 9 | 3 | 1, 2; verbosity counts for nothing. Of the first three: a > b, c > b, and a tie.
  const std::vector<Pair> pairs =
      read<Pair>(line("p", "a", 3, 3, 3, 0) + line("p", "b", 1, 1, 3, 4) + line("p", "c", 4, 4, 1, 0) +
                 line("lone", "x", 1, 1, 1, 1) + line("q", "d", 0, 0, 1, 0) + line("q", "e", 0, 1, 1, 0));
  ASSERT_EQ(pairs.size(), 3u);
  EXPECT_EQ(shape_, Shape::HelpSteer);
  expect_pair(pairs[0], asks("p"), "a", "b");
  expect_pair(pairs[1], asks("p"), "c", "b");
  expect_pair(pairs[2], asks("q"), "e", "d");
  EXPECT_EQ(pairs[0].margin, 4);
  EXPECT_EQ(pairs[2].margin, 1);
  EXPECT_EQ(pairs[0].id, "1.1");
  EXPECT_EQ(pairs[1].id, "1.2");
  EXPECT_EQ(pairs[2].id, "5.1");
  EXPECT_EQ(counts_.ties, 1u);
  expect_error(line("p", "a", 3, 3, 5, 0), {"line 1", "\"coherence\" is 5", "0 to 4"});
  expect_error(R"({"prompt": "p", "response": "a", "helpfulness": 3, "coherence": 1})", {"no column \"correctness\""});
  // A group of another kind of record ends the group, also at the end of the file.
  EXPECT_EQ(
      read<Pair>(line("p", "a", 3, 3, 3, 0) + line("p", "b", 1, 1, 3, 4) + R"({"prompt": "p", )" + kGood + "}").size(),
      2u);
  std::string many;
  for (int i = 0; i < 65; ++i) many += line("p", std::to_string(i), 1, 1, 1, 1);
  expect_error(many, {"line 65", "more than 64"});
}

TEST_F(Shapes, HelpSteer3PrefersTheSecondWhenPositive) {
  const auto line = [](const std::string& preference) {
    return R"({"context": [{"role": "user", "content": "p"}], "response1": "one", "response2": "two",)"
           R"( "overall_preference": )" +
           preference + "}\n";
  };
  const Pair second = pair(line("2"));
  expect_pair(second, asks("p"), "two", "one");
  EXPECT_EQ(second.margin, 2);
  EXPECT_EQ(shape_, Shape::HelpSteer3);
  expect_pair(pair(line("-1")), asks("p"), "one", "two");
  EXPECT_EQ(read<Pair>(line("0") + line("3")).size(), 1u);
  EXPECT_EQ(counts_.ties, 1u);
  expect_error(line("4"), {"line 1", "is 4", "-3 to 3"});
  expect_pair(pair(R"({"prompt": "p", "response_1": "one", "response_2": "two", "preference_strength": -3})"),
              asks("p"), "one", "two");
}

TEST_F(Shapes, LabelledResponses) {
  const std::vector<Labelled> imdb = read<Labelled>(R"({"id": 4, "text": "fine", "label": 1})"
                                                    "\n"
                                                    R"({"text": "poor", "label": 0})"
                                                    "\n"
                                                    R"({"text": " ", "label": 0})");
  ASSERT_EQ(imdb.size(), 2u);
  EXPECT_EQ(shape_, Shape::Imdb);
  EXPECT_EQ(imdb[0].id, "4");
  EXPECT_EQ(imdb[0].response, "fine");
  EXPECT_EQ(imdb[0].label, 1);
  EXPECT_EQ(imdb[0].prompt, Prompt());
  EXPECT_EQ(imdb[1].label, -1);
  EXPECT_EQ(counts_.empty, 1u);
  const Labelled unpaired = read<Labelled>(R"({"prompt": "p", "completion": "c", "label": false})").at(0);
  EXPECT_EQ(shape_, Shape::TrlUnpaired);
  EXPECT_EQ(unpaired.prompt, asks("p"));
  EXPECT_EQ(unpaired.response, "c");
  EXPECT_EQ(unpaired.label, -1);
  const Labelled own = read<Labelled>(R"({"prefix": "t", "response": " u", "label": -1})").at(0);
  EXPECT_EQ(shape_, Shape::Coala);
  EXPECT_EQ(own.prompt, (Prompt{{}, "t"}));
  EXPECT_EQ(own.label, -1);
  expect_error(R"({"text": "x", "label": -1})", {"line 1", "unlabelled"});
  expect_error(R"({"text": "x", "label": 0.5})", {"line 1", "0.5"});
  expect_error(R"({"response": "x", "label": 0})", {"line 1", "-1 (bad)"});
}

TEST_F(Shapes, ConversationsOfEveryKind) {
  const std::string short_one = R"({"messages": [{"role": "user", "content": "s0"}]})"
                                "\n";
  struct Case {
    Shape shape;
    std::string line;
  };
  for (const Case& c :
       {Case{Shape::EduFeedback, R"({"id": "c", "utterances": [["agent2", "s0"], ["agent1", "t0"], ["agent2", "s1"],
                                    ["agent1", "t1"], ["agent2", "s2"], ["agent1", "t1"]]})"},
        Case{Shape::ShareGpt, R"({"id": "c", "conversations": [{"from": "human", "value": "s0"},
                                 {"from": "gpt", "value": "t0"}, {"from": "human", "value": "s1"},
                                 {"from": "gpt", "value": "t1"}, {"from": "human", "value": "s2"},
                                 {"from": "gpt", "value": "t1"}]})"},
        Case{Shape::OpenAiMessages, R"({"id": "c", "messages": [{"role": "user", "content": "s0"},
                                       {"role": "assistant", "content": "t0"}, {"role": "user", "content": "s1"},
                                       {"role": "assistant", "content": "t1"}, {"role": "user", "content": "s2"},
                                       {"role": "assistant", "content": "t1"}]})"}}) {
    SCOPED_TRACE(shape_name(c.shape));
    const std::vector<Pair> pairs = read<Pair>("[" + c.line + "," + short_one + "]");
    EXPECT_EQ(shape_, c.shape);
    ASSERT_EQ(pairs.size(), 1u);  // the second pair has twice the same answer
    expect_pair(pairs[0], asks("s0"), "t0", "t1");
    EXPECT_EQ(pairs[0].id, "c.1");
    EXPECT_EQ(counts_.conversations, 2u);
    EXPECT_EQ(counts_.short_conversations, 1u);
    EXPECT_EQ(counts_.triplets, 2u);
    EXPECT_EQ(counts_.identical, 1u);
    ReaderOptions code;
    code.shape = c.shape;
    code.alternation = Alternation::Code;
    EXPECT_EQ(read<Pair>(c.line, code).at(0).rejected, "t0");  // i = 1: (1 + 2) mod 3; i = 0 has twice the same answer
  }
  std::string long_one = R"({"utterances": [["agent2", "s"])";
  for (int i = 0; i < 4096; ++i) long_one += R"(, ["agent1", "t"])";
  expect_error(long_one + "]}", {"line 1", "4097 turns"});
  expect_error(R"({"utterances": [["agent3", "x"]]})", {"utterance 1", "\"agent3\"", "tutor"});
  expect_error(R"({"utterances": [["agent1"]]})", {"utterance 1", "[speaker, text]"});
  expect_error(R"({"conversations": [{"from": "moon", "value": "x"}]})", {"message 1", "\"moon\""});
}

TEST_F(Shapes, AnUnknownShapeNamesTheColumns) {
  expect_error(R"({"question": "q", "stars\u001b[0m": 4})",
               {"line 1", "columns found: \"question\", \"stars", "expected: chosen"});
  expect_error(R"({"train": []})", {"columns found: \"train\""});
  expect_error("{}", {"columns found: none"});
  expect_error(R"({"prompt": "p", "chosen": {"a": 1}, "rejected": "b"})",
               {"line 1", "\"chosen\" is an object", "a text"});
  ReaderOptions forced;
  forced.shape = Shape::HelpSteer3;
  expect_error(R"({"prompt": "p", )" + kGood + "}", {"no column \"overall_preference\"", "columns found: \"chosen\""},
               forced);
  EXPECT_EQ(test::error_code_of([] { parse_shape("hh"); }), ErrorCode::BadUsage);
  for (const std::string& name : shape_names()) EXPECT_EQ(shape_name(parse_shape(name)), name);
}

TEST_F(Shapes, AnswersThatNobodyHasComparedAreToldSo) {
  // A judgement may have a name that nobody knows: the columns are listed.
  expect_error(R"({"question": "q", "answer": "a"})",
               {"line 1", "nobody has compared", "columns found: \"answer\", \"question\"", "coala choose --data"});
  for (const char* own : {R"({"prompt": "q", "text": "a", "log_probability": -1.5, "tokens": 2})",
                          R"({"prompt": "q", "text": "a", "score": 1.5, "probability": 0.7, "rank": 1})"}) {
    expect_error(own, {"line 1", "nobody has compared"});
    ReaderOptions unjudged;
    unjudged.unjudged = true;
    const std::vector<Labelled> read_ones = read<Labelled>(own, unjudged);
    ASSERT_EQ(read_ones.size(), 1u);
    EXPECT_EQ(read_ones[0].response, "a");
  }
  // Somebody's own score is no head's.
  expect_error(R"({"prompt": "q", "response": "a", "score": 3})", {"no known data shape", "\"score\""});
}

TEST_F(Shapes, EmptyAndIdenticalPairsAreCounted) {
  const auto line = [](const std::string& chosen, const std::string& rejected) {
    return R"({"prompt": "p", "chosen": ")" + chosen + R"(", "rejected": ")" + rejected + "\"}\n";
  };
  EXPECT_EQ(read<Pair>(line("", "x") + line("x", " \\n") + line("x", "x") + line("x", "y")).size(), 1u);
  EXPECT_EQ(counts_.empty, 2u);
  EXPECT_EQ(counts_.identical, 1u);
  EXPECT_EQ(counts_.records, 4u);
}

TEST_F(Shapes, AnswersThatNobodyHasJudged) {
  ReaderOptions options;
  options.unjudged = true;
  const std::vector<Labelled> answers = read<Labelled>(
      R"({"prompt": "p", "responses": ["a", "b"]}
{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]}
{"prompt": [{"role": "user", "content": "q"}], "text": "t", "log_probability": -1.5, "score": 1, "finish": "stop"}
{"system": "s", "question": "q", "output": "o"}
{"prompt": "p", "response": null}
{"prompt": "p", "response": "good", "label": 1}
)",
      options);
  ASSERT_EQ(answers.size(), 6u);
  EXPECT_EQ(counts_.null, 1u);
  EXPECT_EQ(answers[0].id, "1.1");
  EXPECT_EQ(answers[1].response, "b");
  EXPECT_EQ(answers[1].prompt, asks("p"));
  EXPECT_EQ(answers[2].prompt, asks("q"));
  EXPECT_EQ(answers[3].response, "t");
  EXPECT_EQ(answers[4].prompt.messages.front(), (Message{"system", "s"}));
  EXPECT_EQ(answers[4].label, 0);
  EXPECT_EQ(answers[5].label, 1) << "what is judged keeps its label";
  // A judgement is looked for first, and nothing is lost here either.
  EXPECT_EQ(read<Pair>(R"({"prompt": "p", "responses": ["a", "b"], "scores": [1, 2]})", options).size(), 1u);
  EXPECT_EQ(test::error_code_of(
                [&] { read<Labelled>(R"({"prompt": "p", "response": "r", "image": "a picture of it"})", options); }),
            ErrorCode::BadInput);
  EXPECT_EQ(test::error_code_of([&] { read<Labelled>(R"({"prompt": "p", "response": "r"})"); }), ErrorCode::BadInput);
}

// The real files; the numbers were counted apart from this program.
TEST_F(Shapes, RealFiles) {
  COALA_NEEDS_SHARED("data/preference");
  struct Case {
    const char* name;
    std::uint64_t records, usable, empty, identical, ties;
  };
  for (const Case& c :
       {Case{"alpaca_eval_gpt4_judged.jsonl.gz", 19658, 19579, 1, 0, 78},
        Case{"hh_helpful.test.json.gz", 2352, 2348, 4, 0, 0}, Case{"ultrafeedback_1k.train.jsonl", 1000, 994, 2, 4, 0},
        Case{"ultrafeedback_200.eval.jsonl", 200, 199, 0, 1, 0}}) {
    SCOPED_TRACE(c.name);
    RecordReader reader({{shared_file(std::string("data/preference/") + c.name)}, {}});
    std::uint64_t usable = 0;
    for (Record record; reader.next(record); ++usable) ASSERT_FALSE(std::get<Pair>(record).prompt.messages.empty());
    EXPECT_EQ(usable, c.usable);
    EXPECT_EQ(reader.counts().records, c.records);
    EXPECT_EQ(reader.counts().empty, c.empty);
    EXPECT_EQ(reader.counts().identical, c.identical);
    EXPECT_EQ(reader.counts().ties, c.ties);
  }
}

TEST_F(Shapes, RealReviews) {
  COALA_NEEDS_SHARED("data/imdb");
  RecordReader reader({{shared_file("data/imdb/train_labeled.jsonl.gz")}, {}});
  int good = 0;
  int bad = 0;
  for (Record record; reader.next(record);) ++(std::get<Labelled>(record).label > 0 ? good : bad);
  EXPECT_EQ(good, 12500);
  EXPECT_EQ(bad, 12500);
  EXPECT_EQ(test::error_code_of([] {
              RecordReader({{shared_file("data/imdb/train_unsup.jsonl.gz")}, {}});
            }),
            ErrorCode::BadInput);
}

}  // namespace
}  // namespace coala
