// Nothing that a record says is lost in silence, whatever its columns are called and wherever they stand.
#include "data/columns.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/atomic_file.h"
#include "core/random.h"
#include "data/reader.h"
#include "data/writer.h"
#include "support.h"

namespace coala {
namespace {

using nlohmann::json;
using test::TemporaryFolder;

/// What a file's one record says, as coala writes it, without the id; or why it is refused.
struct Outcome {
  std::vector<std::string> records;
  std::string error;
  ReaderCounts counts;
};

class Columns : public ::testing::Test {
 protected:
  Outcome read(const json& record, const ColumnOptions& columns = {}) {
    return read_text(record.dump() + "\n", columns);
  }

  Outcome read_text(const std::string& text, const ColumnOptions& columns = {}) {
    write_file(folder_ / "data", text);
    ReaderOptions options;
    options.columns = columns;
    Outcome outcome;
    try {
      RecordReader reader({{folder_ / "data"}, options});
      for (Record record; reader.next(record);) {
        json written = json::parse(to_json_line(record));
        written.erase("id");
        outcome.records.push_back(written.dump());
      }
      outcome.counts = reader.counts();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadInput) << error.what();
      outcome.error = std::string(error.what()) + "\n" + error.hint();
    }
    return outcome;
  }

  TemporaryFolder folder_;
};

const std::string kQuestion = "What colour is the grass here?";
const std::string kSystem = "Answer in one short word.";
const std::string kGood = "Green it is.";
const std::string kBad = "Purple I think.";

json user(const std::string& text) {
  return {{"role", "user"}, {"content", text}};
}
json assistant(const std::string& text) {
  return {{"role", "assistant"}, {"content", text}};
}

/// Valid records of many shapes, each with columns that never decide.
std::vector<json> valid_records() {
  std::vector<json> records{
      {{"prompt", kQuestion}, {"chosen", kGood}, {"rejected", kBad}},
      {{"system", kSystem}, {"question", kQuestion}, {"chosen", kGood}, {"rejected", kBad}},
      {{"instruction", "Look out of the window."}, {"input", kQuestion}, {"chosen", kGood}, {"rejected", kBad}},
      {{"prompt", kQuestion},
       {"chosen", {user(kQuestion), assistant(kGood)}},
       {"rejected", {user(kQuestion), assistant(kBad)}}},
      {{"chosen", {user(kQuestion), assistant(kGood)}}, {"rejected", {user(kQuestion), assistant(kBad)}}},
      {{"conversations", {user(kQuestion)}},
       {"chosen", assistant(kGood)},
       {"rejected", assistant(kBad)},
       {"system", kSystem}},
      {{"messages", {user(kQuestion), assistant(kGood)}}, {"rejected_response", kBad}},
      {{"messages", {user(kQuestion), assistant(kGood)}}, {"label", true}},
      {{"prompt", kQuestion}, {"completion", kGood}, {"label", false}},
      {{"instruction", kQuestion}, {"output", kGood}, {"kto_tag", true}, {"system", kSystem}},
      {{"input", {{"messages", {user(kQuestion)}}}},
       {"preferred_output", {assistant(kGood)}},
       {"non_preferred_output", {assistant(kBad)}}},
      {{"prompt", kQuestion}, {"response_0", kBad}, {"response_1", kGood}, {"better_response_id", 1}},
      {{"history", kQuestion}, {"human_ref_A", kGood}, {"human_ref_B", kBad}, {"labels", 1}},
      {{"instruction", kQuestion}, {"generations", {kGood, kBad}}, {"ratings", {5, 1}}},
      {{"prompt", kQuestion}, {"answers", {{{"answer", kGood}, {"rank", 1}}, {{"answer", kBad}, {"rank", 2}}}}},
      {{"context", {user(kQuestion)}}, {"response1", kBad}, {"response2", kGood}, {"overall_preference", 2}},
      {{"text", kGood}, {"label", 1}},
  };
  for (json& record : records) {
    record["source"] = "a web site of many words";
    record["prompt_id"] = "a7f3";
    record["created_at"] = "2024-05-01 12:00:00";
    record["chosen_model"] = "model-7b";
    record["num_turns"] = 1;
  }
  return records;
}

TEST_F(Columns, ThatNeverDecideStopNobody) {
  for (const json& record : valid_records()) {
    const Outcome outcome = read(record);
    EXPECT_EQ(outcome.error, "") << record;
    EXPECT_EQ(outcome.records.size(), 1u) << record;
    EXPECT_EQ(outcome.counts.columns_ignored.count("source"), 1u) << record;
  }
}

/// A file that was turned about in one place, and what it may end in.
struct Variant {
  json record;
  std::string column;  ///< that was changed
  std::string now;     ///< what it is called now; empty when it is gone
  bool gone = false;   ///< null: the information is not in the file any more
};

const std::vector<std::string> kNames{"question",
                                      "query",
                                      "instruction",
                                      "problem",
                                      "input",
                                      "context",
                                      "history",
                                      "post",
                                      "frage",
                                      "my_prompt",
                                      "original_prompt",
                                      "user_question",
                                      "conversation",
                                      "messages",
                                      "turns",
                                      "chosen",
                                      "rejected",
                                      "chosen_response",
                                      "rejected_response",
                                      "response",
                                      "completion",
                                      "answer",
                                      "output",
                                      "reply",
                                      "better",
                                      "worse",
                                      "good_answer",
                                      "A",
                                      "B",
                                      "system",
                                      "system_prompt",
                                      "sys",
                                      "persona",
                                      "role_play",
                                      "label",
                                      "kto_tag",
                                      "is_good",
                                      "verdict",
                                      "score",
                                      "rating",
                                      "winner",
                                      "preference",
                                      "text",
                                      "content",
                                      "data",
                                      "x",
                                      "col1",
                                      "Prompt",
                                      "CHOSEN",
                                      "chosen text",
                                      "the question"};
const std::vector<std::string> kBoxes{"data",    "extra",  "metadata", "meta", "record",       "row",
                                      "example", "fields", "x",        "info", "conversation", "sample"};

Variant vary(const json& record, Random& random) {
  std::vector<std::string> deciding;
  for (const auto& [column, value] : record.items()) {
    const ColumnMeaning meaning = meaning_of(column);
    if (meaning == ColumnMeaning::Decides || meaning == ColumnMeaning::Judges) deciding.push_back(column);
  }
  Variant variant{record, deciding[random.below(deciding.size())], "", false};
  const json value = record.at(variant.column);
  switch (random.below(4)) {
    case 0:  // another name
      variant.now = kNames[random.below(kNames.size())];
      variant.record.erase(variant.column);
      if (variant.record.contains(variant.now)) return vary(record, random);
      variant.record[variant.now] = value;
      break;
    case 1:  // deeper
      variant.now = kBoxes[random.below(kBoxes.size())];
      variant.record.erase(variant.column);
      if (variant.record.contains(variant.now)) return vary(record, random);
      variant.record[variant.now] = {{variant.column, value}};
      break;
    case 2:  // null
      variant.record[variant.column] = nullptr;
      variant.gone = true;
      break;
    default:  // the record deeper, but for the column
      variant.now = variant.column;
      variant.record = {{variant.column, value}};
      json rest = record;
      rest.erase(variant.column);
      variant.record[kBoxes[random.below(kBoxes.size())]] = rest;
      break;
  }
  return variant;
}

/// Whether two records are alike but for the form of their prompts.
bool says_all(json read, json canonical) {
  std::string asked;
  for (const json& message : read.value("prompt", json::array()))
    asked += message.at("content").get<std::string>() + "\n";
  for (const json& message : canonical.value("prompt", json::array())) {
    if (asked.find(message.at("content").get<std::string>()) == std::string::npos) return false;
  }
  read.erase("prompt");
  canonical.erase("prompt");
  return read == canonical;
}

TEST_F(Columns, NoVariantIsReadAsSomethingElse) {
  constexpr int kVariants = 12000;
  Random random(1);
  const std::vector<json> valid = valid_records();
  std::vector<std::vector<std::string>> canonical;
  std::vector<std::vector<std::string>> without_margins;
  for (const json& record : valid) {
    canonical.push_back(read(record).records);
    ASSERT_EQ(canonical.back().size(), 1u) << record;
    json pair = json::parse(canonical.back().front());
    pair.erase("margin");
    without_margins.push_back({pair.dump()});
  }
  int same = 0;
  int refused = 0;
  for (int k = 0; k < kVariants; ++k) {
    const std::size_t which = random.below(valid.size());
    const Variant variant = vary(valid[which], random);
    const Outcome outcome = read(variant.record);
    SCOPED_TRACE(variant.record.dump());
    if (!outcome.error.empty()) {
      // The column is named, or all columns are, or what is null or missing is.
      const bool named = outcome.error.find(variant.column) != std::string::npos ||
                         (!variant.now.empty() && outcome.error.find(variant.now) != std::string::npos) ||
                         outcome.error.find("columns found") != std::string::npos ||
                         outcome.error.find("null or missing") != std::string::npos ||
                         outcome.error.find("columns read") != std::string::npos ||
                         outcome.error.find(": column \"") != std::string::npos ||
                         outcome.error.find("looks like") != std::string::npos ||
                         outcome.error.find("may be part of the preference") != std::string::npos;
      EXPECT_TRUE(named) << outcome.error;
      ++refused;
      continue;
    }
    // A verdict under another name may have no size.
    if (outcome.records == canonical[which] || outcome.records == without_margins[which]) {
      ++same;
      continue;
    }
    // A question may be asked in another form, as long as all of it is there.
    if (outcome.records.size() == 1 && says_all(json::parse(outcome.records[0]), json::parse(canonical[which][0]))) {
      ++same;
      continue;
    }
    // What is not in the file cannot be read: without its system message the record is another one, and complete.
    if (variant.gone && (variant.column == "system" || variant.column == "input")) continue;
    // A column that is called a system message is one.
    if (variant.now == "system" || variant.now == "system_prompt" || variant.now == "sys") continue;
    ADD_FAILURE() << "read as " << (outcome.records.empty() ? "nothing" : outcome.records.front()) << "\ninstead of "
                  << canonical[which].front();
  }
  EXPECT_GT(same, kVariants / 40);
  EXPECT_GT(refused, kVariants / 4);
}

TEST_F(Columns, AreRenamed) {
  ColumnOptions columns;
  columns.renamed = parse_renamed_columns("prompt=task.text, chosen=answers.0 ,rejected=answers.1,system=who");
  const Outcome outcome =
      read({{"task", {{"text", "2 + 2?"}}}, {"answers", {"4", "5"}}, {"who", "Be brief, please."}}, columns);
  EXPECT_EQ(outcome.error, "");
  ASSERT_EQ(outcome.records.size(), 1u);
  EXPECT_EQ(
      outcome.records[0],
      R"({"chosen":"4","prompt":[{"content":"Be brief, please.","role":"system"},{"content":"2 + 2?","role":"user"}],"rejected":"5"})");
  EXPECT_NE(read({{"task", {{"texts", "2 + 2?"}}}, {"answers", {"4", "5"}}}, columns).error.find("task.text"),
            std::string::npos);
  // A column whose name is given to another one is not forgotten.
  const json own{{"prompt", "an old and long prompt"}, {"question", "2 + 2?"}, {"chosen", "4"}, {"rejected", "5"}};
  columns.renamed = parse_renamed_columns("prompt=question");
  EXPECT_NE(read(own, columns).error.find("\"prompt\""), std::string::npos);
  columns.ignored = parse_ignored_columns("prompt");
  EXPECT_EQ(read(own, columns).records.size(), 1u);
}

TEST_F(Columns, LabelsHaveAValueThatMeansGood) {
  const json up{{"prompt", "2 + 2?"}, {"completion", "4"}, {"label", "up!"}};
  EXPECT_NE(read(up).error.find("--label-true"), std::string::npos);
  ColumnOptions columns;
  columns.label_true = "up!";
  ASSERT_EQ(read(up, columns).records.size(), 1u);
  EXPECT_EQ(json::parse(read(up, columns).records[0]).at("label"), 1);
  columns.label_true = "5";
  EXPECT_EQ(json::parse(read({{"prompt", "p"}, {"completion", "4"}, {"label", 5}}, columns).records[0]).at("label"), 1);
  EXPECT_EQ(json::parse(read({{"prompt", "p"}, {"completion", "4"}, {"label", 4}}, columns).records[0]).at("label"),
            -1);
}

TEST_F(Columns, OfToolsAndPicturesAreRefusedUnlessIgnored) {
  const json call{{"name", "weather"}, {"arguments", "{}"}};
  json record{{"prompt", "Weather?"},
              {"chosen", {{{"role", "assistant"}, {"content", "I look."}, {"tool_calls", {{{"function", call}}}}}}},
              {"rejected", {assistant("Warm.")}}};
  EXPECT_NE(read(record).error.find("tool_calls"), std::string::npos);
  ColumnOptions columns;
  columns.ignored = {"tool_calls"};
  EXPECT_EQ(read(record, columns).records.size(), 1u);
  EXPECT_NE(read({{"prompt", "p"}, {"chosen", "a"}, {"rejected", "b"}, {"image", "cat.png"}}).error.find("image"),
            std::string::npos);
}

TEST_F(Columns, ThatRepeatWhatIsSaidStopNobody) {
  EXPECT_EQ(read({{"prompt", kQuestion},
                  {"question", kQuestion},
                  {"chosen", kGood},
                  {"rejected", kBad},
                  {"messages", {user(kQuestion), assistant(kGood)}}})
                .error,
            "");
  EXPECT_NE(read({{"prompt", kQuestion},
                  {"chosen", kGood},
                  {"rejected", kBad},
                  {"messages", json::array({user("Something else?")})}})
                .error.find("messages"),
            std::string::npos);
}

TEST_F(Columns, CountsAddUp) {
  const Outcome outcome = read_text(
      R"({"prompt": "a", "chosen": "x", "rejected": "y"}
{"prompt": "b", "chosen": "x", "rejected": null}
{"prompt": "c", "chosen": "x", "rejected": "x"}
{"prompt": "d", "chosen": "x", "rejected": " "}
{"prompt": "e", "chosen": "x", "rejected": "y", "score_chosen": 1, "score_rejected": 1}
{"prompt": "f", "chosen": "x", "rejected": ["y", "z"]}
{"prompt": "g", "chosen": "x", "rejected": "y", "weight": 0}
{"prompt": "h", "response": "only", "helpfulness": 1, "correctness": 1, "coherence": 1}
)");
  EXPECT_EQ(outcome.error, "");
  const ReaderCounts& counts = outcome.counts;
  EXPECT_EQ(counts.records, 8u);
  EXPECT_EQ(counts.records_used, 2u);
  EXPECT_EQ(outcome.records.size(), 3u);
  EXPECT_EQ(counts.null, 1u);
  EXPECT_EQ(counts.identical, 1u);
  EXPECT_EQ(counts.empty, 1u);
  EXPECT_EQ(counts.ties, 1u);
  EXPECT_EQ(counts.weightless, 1u);
  EXPECT_EQ(counts.alone, 1u);
  EXPECT_EQ(counts.records, counts.records_used + counts.pairs() + counts.alone);
}

TEST_F(Columns, ANullAnswerLeavesItsRecordOutAndNoOther) {
  int tried = 0;
  for (json record : valid_records()) {
    record["score_chosen"] = nullptr;
    for (const char* column : {"chosen", "rejected", "rejected_response", "completion", "output", "preferred_output",
                               "non_preferred_output", "response_0", "response_1", "human_ref_A"}) {
      if (!record.contains(column)) continue;
      json without = record;
      without[column] = nullptr;
      const Outcome outcome = read_text(record.dump() + "\n" + without.dump() + "\n" + record.dump() + "\n");
      EXPECT_EQ(outcome.error, "") << without;
      EXPECT_EQ(outcome.records.size(), 2u) << without;
      EXPECT_EQ(outcome.counts.null, 1u) << without;
      EXPECT_EQ(outcome.counts.records_used, 2u) << without;
      ++tried;
    }
  }
  EXPECT_GE(tried, 15);
}

TEST_F(Columns, BadRecordsAreSkippedWhenAsked) {
  write_file(folder_ / "data",
             R"({"prompt": "a", "chosen": "x", "rejected": "y"}
{"prompt": "b", "chosen": "x", "rejected": "y", "image": "cat.png"}
{"prompt": "c", "chosen": 7, "rejected": "y"}
{"prompt": "d", "chosen": "x"
{"frage": "e"}
{"prompt": "f", "chosen": "x", "rejected": "y"}
)");
  ReaderOptions options;
  options.skip_bad = true;
  RecordReader reader({{folder_ / "data"}, options});
  int read = 0;
  for (Record record; reader.next(record);) ++read;
  EXPECT_EQ(read, 2);
  EXPECT_EQ(reader.counts().bad, 4u);
  EXPECT_EQ(reader.counts().records, 6u);
  ASSERT_EQ(reader.counts().bad_examples.size(), 4u);
  EXPECT_NE(reader.counts().bad_examples[0].find("line 2"), std::string::npos);
}

/// As its canonical line has it: the texts of the prompt's messages, chosen, rejected.
std::vector<std::string> texts_of(const Outcome& outcome) {
  EXPECT_EQ(outcome.records.size(), 1u) << outcome.error;
  std::vector<std::string> texts;
  if (outcome.records.empty()) return texts;
  const json record = json::parse(outcome.records.front());
  for (const json& message : record.at("prompt")) texts.push_back(message.at("content"));
  texts.push_back(record.at("chosen"));
  texts.push_back(record.at("rejected"));
  return texts;
}

TEST_F(Columns, AShortPromptIsNotCutOffAnswersThatBeginLikeIt) {
  using Texts = std::vector<std::string>;
  const auto pair = [](const char* prompt, const char* chosen, const char* rejected) {
    return json{{"prompt", prompt}, {"chosen", chosen}, {"rejected", rejected}};
  };
  for (const Texts& whole :
       {Texts{"Hello", "Hello! How can I help you?", "Hello."}, Texts{"Hi", "Hi there, how are you?", "Hi you"},
        Texts{"I", "I am sorry.", "It is a letter."}, Texts{"Who is he", "Who is here", "Who is hero"}}) {
    EXPECT_EQ(texts_of(read(pair(whole[0].c_str(), whole[1].c_str(), whole[2].c_str()))), whole);
  }
  EXPECT_EQ(texts_of(read(pair("What is 1 + 1?", "What is 1 + 1? It is 2.", "What is 1 + 1?\n\n  3"))),
            (Texts{"What is 1 + 1?", "It is 2.", "  3"}));
}

TEST_F(Columns, SmallThingsUnderNamesThatMatterAreRefused) {
  const json pair{{"prompt", "Sky?"}, {"chosen", "The sky is blue."}, {"rejected", "The sky is red."}};
  for (const auto& [column, value] :
       std::vector<std::pair<std::string, json>>{{"images", json::array({{{"path", "a.jpg"}}})},
                                                 {"image", {{"bytes", "/9j/4AAQ"}, {"path", "a.jpg"}}},
                                                 {"image", {{"src", "https://a.b/c.jpg"}, {"height", 200}}},
                                                 {"system", {{"text", "pirate"}}},
                                                 {"preference", {{"better", "rejected"}}},
                                                 {"context", {{"colour", "blue"}, {"hour", "noon"}}}}) {
    json record = pair;
    record[column] = value;
    EXPECT_NE(read(record).error.find(column), std::string::npos) << record;
  }
}

TEST_F(Columns, HhDialoguesAreNoAnswers) {
  using Texts = std::vector<std::string>;
  const std::string one = "\n\nHuman: a b?\n\nAssistant: yes";
  const std::string two = one + "\n\nHuman: c d?\n\nAssistant:";
  const auto hh = [](const std::string& column, const std::string& prompt, const std::string& start) {
    return json{{column, prompt}, {"chosen", start + " x"}, {"rejected", start + " y"}};
  };
  const std::string asked = "\n\nHuman: a  b?\n\nAssistant:";
  const std::string start = "\n\nHuman: a b?\n\nAssistant:";
  EXPECT_EQ(texts_of(read(hh("prompt", asked, start))), (Texts{"a b?", "x", "y"}));
  EXPECT_EQ(texts_of(read(hh("question", start, start))), (Texts{"a b?", "x", "y"}));
  EXPECT_EQ(texts_of(read(hh("prompt", "\n\nHuman: c d?\n\nAssistant:", two))),
            (Texts{"a b?", "yes", "c d?", "x", "y"}));
  EXPECT_NE(read(hh("prompt", "something else", start)).error.find("neither"), std::string::npos);
  EXPECT_NE(read(hh("user", "bob", start)).error.find("user"), std::string::npos);
  // A table by columns has a prompt; without one, answers of one record would be compared with those of another.
  const json table{{"chosen", {one, two}}, {"rejected", {one + " no", two + " no"}}};
  EXPECT_NE(read(table).error.find("no prompt"), std::string::npos);
}

TEST_F(Columns, ListsThatAreAnswersStayLists) {
  using Texts = std::vector<std::string>;
  const auto vote = [](const char* prompt, const char* a, const char* b) {
    return json{{"prompt", prompt}, {"response_a", a}, {"response_b", b}, {"winner", "model_a"}};
  };
  EXPECT_EQ(texts_of(read(vote("Three as JSON", "[\"red\", \"green\"]", "red"))),
            (Texts{"Three as JSON", "[\"red\", \"green\"]", "red"}));
  EXPECT_EQ(texts_of(read(vote("[\"An emoji.\"]", "[\"one\"]", "[\"two\"]"))), (Texts{"An emoji.", "one", "two"}));
  EXPECT_NE(read(vote("[\"An emoji.\"]", "[\"\\ud83d\"]", "[\"two\"]")).error.find("list of texts"), std::string::npos);
}

TEST_F(Columns, AJudgmentOfTheFirstTurnIsOfTheFirstAnswers) {
  using Texts = std::vector<std::string>;
  const auto conversation = [](const char* first, const char* second) {
    return json::array({user("q one"), assistant(first), user("q two"), assistant(second)});
  };
  json record{{"conversation_a", conversation("a1", "a2")},
              {"conversation_b", conversation("b1", "b2")},
              {"winner", "model_b"}};
  EXPECT_TRUE(read(record).records.empty());
  record["turn"] = 1;
  EXPECT_EQ(texts_of(read(record)), (Texts{"q one", "b1", "a1"}));
  record["turn"] = 2;
  EXPECT_TRUE(read(record).records.empty());
}

TEST(ColumnNames, AreParsed) {
  EXPECT_EQ(parse_renamed_columns("prompt=a.b").front().second, "a.b");
  for (const char* wrong : {"prompt", "=a", "prompt=", "colour=a", "prompt=a,prompt=b", ""}) {
    EXPECT_EQ(test::error_code_of([&] { parse_renamed_columns(wrong); }), ErrorCode::BadUsage) << wrong;
  }
  EXPECT_EQ(parse_ignored_columns("a, b").size(), 2u);
  EXPECT_EQ(test::error_code_of([] { parse_ignored_columns("a,,b"); }), ErrorCode::BadUsage);
}

TEST(ColumnNames, SayWhatTheyAreFor) {
  for (const char* name : {"question", "chosen", "system_prompt", "userQuestion", "tool_calls", "images", "history"}) {
    EXPECT_EQ(meaning_of(name), ColumnMeaning::Decides) << name;
  }
  for (const char* name : {"label", "score", "chosen-rating", "winner", "is_safe", "kto_tag"}) {
    EXPECT_EQ(meaning_of(name), ColumnMeaning::Judges) << name;
  }
  for (const char* name :
       {"prompt_id", "source", "created_at", "chosen_model", "num_turns", "questionId", "score_ratio"}) {
    EXPECT_EQ(meaning_of(name), ColumnMeaning::Neutral) << name;
  }
  for (const char* name : {"frage", "x", "persona"}) EXPECT_EQ(meaning_of(name), ColumnMeaning::Unknown) << name;
}

}  // namespace
}  // namespace coala
