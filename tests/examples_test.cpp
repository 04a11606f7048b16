#include "align/examples.h"

#include <gtest/gtest.h>

#include "core/atomic_file.h"
#include "support.h"

namespace coala {
namespace {

TEST(Examples, HaveTheTextsOfTheirOwnRecordsWhereOthersWereLeftOut) {
  const test::TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 7; ++i) {
    const std::string number = std::to_string(i);
    lines += R"({"id": "r)" + number + R"(", "prompt": "p)" + number + R"(", "chosen": "c", "rejected": "d"})" + "\n";
  }
  write_file(folder / "data.jsonl", lines);
  const std::vector<LeftOutRecord> left_out{{1, "bad"}, {4, "bad"}};
  Examples examples;
  examples.right.resize(2);
  examples.right[0].record = 1;  // of r0, r2, r3, r5, r6
  examples.right[1].record = 4;
  examples.wrong.resize(1);
  examples.wrong[0].record = 0;
  add_texts(examples, RecordStore({{folder / "data.jsonl"}, {}}, folder.path()), left_out);
  EXPECT_EQ(examples.right[0].id, "r2");
  EXPECT_EQ(examples.right[1].id, "r6");
  EXPECT_EQ(examples.wrong[0].id, "r0");
}

}  // namespace
}  // namespace coala
