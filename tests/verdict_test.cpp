#include "report/verdict.h"

#include <gtest/gtest.h>

namespace coala {
namespace {

RunMetrics metrics_of(double accuracy, double low, double high, std::uint64_t prompts) {
  RunMetrics metrics;
  metrics.evaluation.pairs.emplace().accuracy = {0.5, {0.4, 0.6}};
  metrics.evaluation.rows = prompts;
  metrics.evaluation.prompts = prompts;
  metrics.token_head.emplace().accuracy = {accuracy, {low, high}};
  return metrics;
}

GuidanceMetrics some_guidance() {
  GuidanceMetrics guidance;
  guidance.divergence = 0.1;
  guidance.budget = 0.12;
  guidance.repetition = 0.02;
  guidance.unguided.repetition = 0.01;
  return guidance;
}

TEST(Verdict, GoesByTheIntervalOfTheHeadThatGuides) {
  const Verdict worked = verdict_of(metrics_of(0.8, 0.7, 0.87, 90));
  EXPECT_EQ(worked.kind, Verdict::Kind::Worked);
  EXPECT_EQ(worked.sentence,
            "It worked: the head that guides puts 72 of 90 held-out pairs right (80.0 %, 95 %: 70.0 to 87.0).");
  EXPECT_TRUE(worked.remarks.empty());
  // 1.96^2 / 4 / 0.2^2 = 24.01 prompts would tell 70 % from a coin.
  const Verdict few = verdict_of(metrics_of(0.7, 0.4, 0.9, 10));
  EXPECT_EQ(few.kind, Verdict::Kind::TooFew);
  EXPECT_NE(few.sentence.find("About 26 held-out prompts would tell; 10 were held out."), std::string::npos)
      << few.sentence;
  const Verdict all_right = verdict_of(metrics_of(1.0, 0.61, 1.0, 6));
  EXPECT_EQ(all_right.kind, Verdict::Kind::TooFew) << "six of six come by chance";
  EXPECT_NE(all_right.sentence.find("About 10 held-out prompts would tell; 6 were held out."), std::string::npos)
      << all_right.sentence;
  // Few of them are no verdict, even when all are wrong; many are.
  EXPECT_EQ(verdict_of(metrics_of(0.0, 0.0, 0.66, 2)).kind, Verdict::Kind::TooFew);
  EXPECT_EQ(verdict_of(metrics_of(0.5, 0.4, 0.6, 90)).kind, Verdict::Kind::DidNot);
  EXPECT_EQ(verdict_of(metrics_of(0.6, 0.49, 0.7, 90)).kind, Verdict::Kind::TooFew) << "ahead, but not clearly";
}

TEST(Verdict, OfLabelledResponsesIsMeasuredAgainstAConstant) {
  RunMetrics metrics;
  LabelledMetrics& labelled = metrics.evaluation.labelled.emplace();
  labelled.accuracy = {0.8, {0.75, 0.85}};
  labelled.majority_accuracy = {0.8, {0.75, 0.84}};
  metrics.evaluation.rows = 300;
  metrics.evaluation.prompts = 300;
  EXPECT_EQ(verdict_of(metrics).kind, Verdict::Kind::DidNot) << "as often right as whoever says the frequent label";
  labelled.majority_accuracy->value = 0.6;
  EXPECT_EQ(verdict_of(metrics).kind, Verdict::Kind::Worked);
  EXPECT_NE(verdict_of(metrics).sentence.find("the head puts 240 of 300 held-out responses right"), std::string::npos);
}

TEST(Verdict, SaysWhatElseMatters) {
  RunMetrics metrics = metrics_of(0.8, 0.7, 0.87, 90);
  metrics.token_head->bias_does = true;
  metrics.guidance = some_guidance();
  const Verdict verdict = verdict_of(metrics);
  ASSERT_EQ(verdict.remarks.size(), 2u);
  EXPECT_NE(verdict.remarks[0].find("fixed bias"), std::string::npos);
  EXPECT_NE(verdict.remarks[1].find("0.10 nats per token (budget 0.12)"), std::string::npos);
}

TEST(Verdict, SaysWhetherASystemPromptWouldDo) {
  RunMetrics metrics = metrics_of(0.8, 0.7, 0.87, 90);
  metrics.guidance = some_guidance();
  const auto last_remark = [&metrics](double mean, double low, double high, Comparer by) {
    metrics.guidance->ahead_of_asked = AheadMetrics{by, mean, {low, high}, 15};
    return verdict_of(metrics).remarks.back();
  };
  EXPECT_EQ(last_remark(0.4, 0.1, 0.7, Comparer::Judge),
            "Your wish as a system prompt would not do: the judge gives guided replies +0.40 over those with it (95 %: "
            "+0.10 to +0.70; 15 prompts).");
  EXPECT_NE(last_remark(0.4, -0.1, 0.9, Comparer::Judge).find("may do as well"), std::string::npos);
  const std::string better = last_remark(-0.4, -0.7, -0.1, Comparer::RewardHead);
  EXPECT_NE(better.find("does better than the head"), std::string::npos);
  EXPECT_NE(better.find("which learnt from the same data"), std::string::npos);
}

}  // namespace
}  // namespace coala
