// Several files, folders, patterns and packed files, and the store of what was read.
#include "data/data_files.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include "core/atomic_file.h"
#include "data/reader.h"
#include "data/record_store.h"
#include "data/writer.h"
#include "support.h"

namespace coala {
namespace {

namespace fs = std::filesystem;
using test::error_code_of;
using test::TemporaryFolder;

std::string line(const std::string& prompt) {
  return R"({"prompt": ")" + prompt + R"(", "chosen": "good )" + prompt + R"(", "rejected": "bad"})" + "\n";
}

std::string packed(const std::string& text) {
  std::string bytes(ZSTD_compressBound(text.size()), '\0');
  bytes.resize(ZSTD_compress(bytes.data(), bytes.size(), text.data(), text.size(), 3));
  return bytes;
}

class DataFolder : public ::testing::Test {
 protected:
  fs::path file(const std::string& name, const std::string& content) {
    const fs::path path = folder_ / name;
    fs::create_directories(path.parent_path());
    write_file(path, content);
    return path;
  }
  /// The names that a name stands for, without the folder.
  std::vector<std::string> found(const std::string& name) {
    std::vector<std::string> names;
    for (const fs::path& path : find_data_files({(folder_ / name).string()})) {
      names.push_back(fs::relative(path, folder_.path()).string());
    }
    return names;
  }
  std::string error_of(const std::vector<std::string>& names) {
    try {
      find_data_files(names);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadInput);
      return std::string(error.what()) + "\n" + error.hint();
    }
    ADD_FAILURE() << "no error";
    return {};
  }
  std::vector<std::string> ids(const std::vector<fs::path>& paths) {
    RecordReader reader({paths, {}});
    std::vector<std::string> result;
    for (Record record; reader.next(record);) result.push_back(std::get<Pair>(record).id);
    counts_ = reader.counts();
    return result;
  }

  TemporaryFolder folder_;
  ReaderCounts counts_;
};

using Names = std::vector<std::string>;

TEST_F(DataFolder, OfADataSetIsReadWithoutWhatLiesAbout) {
  for (const char* name : {"set/data/train-00001-of-00002.parquet", "set/data/train-00000-of-00002.parquet",
                           "set/README.md", "set/.cache/x.jsonl", "set/data/state.json", "set/dataset_info.json"}) {
    file(name, "x");
  }
  EXPECT_EQ(found("set"), (Names{"set/data/train-00000-of-00002.parquet", "set/data/train-00001-of-00002.parquet"}));
  EXPECT_EQ(find_data_files({"-"}), std::vector<fs::path>{"/dev/stdin"});
  EXPECT_EQ(found("set/data/train-00001*"), (Names{"set/data/train-00001-of-00002.parquet"}));
}

TEST_F(DataFolder, WithPlainNamesIsReadInTheirOrder) {
  for (const char* name : {"b.jsonl.zst", "a.json.gz", "c.ndjson", "notes.txt"}) file(name, "x");
  EXPECT_EQ(found("."), (Names{"a.json.gz", "b.jsonl.zst", "c.ndjson"}));
  EXPECT_EQ(found("[ab].*"), (Names{"a.json.gz", "b.jsonl.zst"}));
}

TEST_F(DataFolder, OfSeveralSplitsIsRefused) {
  file("one/train.jsonl", "x");
  file("one/my_test_set.jsonl", "x");
  EXPECT_NE(error_of({(folder_ / "one").string()}).find("several splits"), std::string::npos);
  file("two/train_prefs-00000-of-00001.parquet", "x");
  file("two/train_sft-00000-of-00001-0123456789abcdef.parquet", "x");
  EXPECT_NE(error_of({(folder_ / "two").string()}).find("several splits"), std::string::npos);
  file("three/train/data-00000-of-00001.arrow", "x");
  file("three/test/data-00000-of-00001.arrow", "x");
  EXPECT_NE(error_of({(folder_ / "three").string()}).find("several folders of data: test, train"), std::string::npos);
}

TEST_F(DataFolder, WithAPartMissingIsRefused) {
  file("train-00000-of-00003.jsonl", "x");
  file("train-00002-of-00003.jsonl", "x");
  EXPECT_NE(error_of({folder_.path().string()}).find("of the 3 parts of train there are 2"), std::string::npos);
}

TEST_F(DataFolder, NamesThatNothingAnswersToSayWhatToDo) {
  EXPECT_NE(error_of({"trl-lib/no_such_set"})
                .find("hf download --repo-type dataset trl-lib/no_such_set --local-dir no_such_set"),
            std::string::npos);
  EXPECT_NE(error_of({"https://huggingface.co/datasets/org/set/viewer/x"}).find("dataset org/set --local"),
            std::string::npos);
  EXPECT_NE(error_of({"https://example.org/a.jsonl"}).find("curl -LO"), std::string::npos);
  EXPECT_NE(error_of({(folder_ / "*.jsonl").string()}).find("no file matches"), std::string::npos);
  EXPECT_NE(error_of({(folder_ / "gone.jsonl").string()}).find("cannot open"), std::string::npos);
  EXPECT_NE(error_of({"data/gone.jsonl"}).find("cannot open"), std::string::npos);
  EXPECT_NE(error_of({folder_.path().string()}).find("without a file of data"), std::string::npos);
  const std::string twice = file("a.jsonl", "x").string();
  EXPECT_NE(error_of({twice, folder_.path().string()}).find("named twice"), std::string::npos);
}

TEST_F(DataFolder, ReadsItsFilesAsOne) {
  const fs::path a = file("a.jsonl", line("p") + "\n" + line("q"));
  const fs::path b = file("b.json", "[" + line("r") + "]");
  EXPECT_EQ(ids({a, b}), (Names{"a.jsonl:1", "a.jsonl:3", "b.json:1"}));
  EXPECT_EQ(counts_.records, 3u);
  EXPECT_EQ(counts_.blank_lines, 1u);
  EXPECT_EQ(counts_.files, (Names{a.string(), b.string()}));
  EXPECT_EQ(ids({a}), (Names{"1", "3"}));
  const fs::path bad = file("c.jsonl", line("s") + "{\"prompt\": 1}\n");
  try {
    ids({a, bad});
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("c.jsonl: line 2"), std::string::npos) << error.what();
  }
  EXPECT_EQ(error_code_of([&] { ids({a, file("d.jsonl", R"({"text": "fine", "label": 1})")}); }), ErrorCode::BadInput);
}

TEST_F(DataFolder, ReadsZstd) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += line("p" + std::to_string(i));
  const std::string whole = packed(text);
  EXPECT_EQ(ids({file("a", whole)}).size(), 20000u);
  EXPECT_EQ(ids({file("b", packed(line("p")) + packed(line("q")))}).size(), 2u);
  for (const std::size_t length : {whole.size() - 1, whole.size() / 2, std::size_t{5}}) {
    EXPECT_EQ(error_code_of([&] { ids({file("c", whole.substr(0, length))}); }), ErrorCode::CorruptFile);
  }
  EXPECT_EQ(error_code_of([&] { ids({file("d", whole + "more")}); }), ErrorCode::CorruptFile);
  EXPECT_EQ(error_code_of([&] { ids({file("e", "\x28\xb5\x2f\xfd zstd")}); }), ErrorCode::CorruptFile);
  std::string damaged = whole;
  damaged[damaged.size() / 2] ^= 0x55;
  EXPECT_EQ(error_code_of([&] { ids({file("f", damaged)}); }), ErrorCode::CorruptFile);
}

std::vector<std::string> lines_of(const DataFiles& data) {
  RecordReader reader(data);
  std::vector<std::string> lines;
  for (Record record; reader.next(record);) lines.push_back(to_json_line(record));
  return lines;
}

TEST_F(DataFolder, StoreGivesTheRecordsThatWereRead) {
  // More than what stays in memory, with a record that is larger than a block.
  std::string text =
      R"({"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], "chosen": "a", "rejected": "b", "margin": 0.5, "weight": 0.25, "id": "own"})"
      "\n" +
      line(std::string(5 << 20, 'x'));
  for (int i = 0; i < 30000; ++i)
    text += line("p" + std::to_string(i) + std::string(static_cast<std::size_t>(i % 300), 'y'));
  const DataFiles data{{file("a.jsonl", text)}, {}};
  const std::vector<std::string> expected = lines_of(data);
  const RecordStore store(data, folder_.path());
  ASSERT_EQ(store.size(), expected.size());
  EXPECT_EQ(store.counts().records, expected.size());
  RecordCursor cursor(store);
  Record record;
  for (const std::string& one : expected) {
    ASSERT_TRUE(cursor.next(record));
    ASSERT_EQ(to_json_line(record), one);
  }
  EXPECT_FALSE(cursor.next(record));
  for (std::size_t i : {std::size_t{0}, std::size_t{1}, std::size_t{2}, expected.size() / 2, expected.size() - 1}) {
    EXPECT_EQ(to_json_line(store.record(i)), expected[i]);
  }
  // Nothing is left in the folder but the data.
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1);
}

TEST_F(DataFolder, StoreOfLabelledResponses) {
  const DataFiles data{{file("a.jsonl", "{\"text\": \"fine\", \"label\": 1}\n{\"text\": \"poor\", \"label\": 0}\n")},
                       {}};
  const RecordStore store(data, folder_.path());
  EXPECT_EQ(store.kind(), RecordKind::Labelled);
  EXPECT_EQ(to_json_line(store.record(1)), lines_of(data)[1]);
}

TEST_F(DataFolder, StoreIsKnownByItsRecords) {
  const auto hash = [&](const std::vector<fs::path>& paths, const ReaderOptions& options = {}) {
    return RecordStore({paths, options}, folder_.path()).hash();
  };
  const std::string whole = hash({file("a.jsonl", line("p") + line("q"))});
  EXPECT_EQ(hash({file("b", packed(line("p") + line("q")))}), whole);
  EXPECT_EQ(hash({file("c.json", "[" + line("p") + "," + line("q") + "]")}), whole);
  EXPECT_EQ(hash({file("d", line("p")), file("e", line("q"))}), whole);
  EXPECT_NE(hash({file("f", line("q") + line("p"))}), whole);
  EXPECT_NE(hash({file("g", line("p"))}), whole);
  ReaderOptions swapped;
  swapped.columns.renamed = {{"chosen", "rejected"}, {"rejected", "chosen"}};
  EXPECT_NE(hash({folder_ / "a.jsonl"}, swapped), whole);
}

}  // namespace
}  // namespace coala
