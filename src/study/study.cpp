#include "study/study.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/random.h"
#include "core/utf8.h"
#include "study/attention.h"
#include "study/page.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kConsentToFillIn =
    "[To be filled in by whoever runs this study: who they are and how they are reached; what the study is for; how "
    "long "
    "it takes and what is paid; which texts may be unpleasant to read.]\n\nThis page keeps your choices, how many "
    "seconds "
    "each took, and a random number that tells answers of different people apart. It keeps no name and sends nothing: "
    "you hand the file of your answers over yourself. Taking part is voluntary. You may stop at any time and delete "
    "your "
    "answers.";

/// Ids that say nothing of what they name.
class Ids {
 public:
  explicit Ids(Random& random) : random_(random) {}
  std::string next() {
    std::string id;
    do id = fmt::format("{:012x}", random_.next() >> 16);
    while (!given_.insert(id).second);
    return id;
  }

 private:
  Random& random_;
  std::set<std::string> given_;
};

/// Texts of one comparison in an order that does not tell whose they are.
template <class Note>
Json shown(const std::string& id, const std::string& prompt, const std::vector<std::string>& replies, Ids& ids,
           Random& random, Note&& note) {
  std::vector<std::size_t> order;
  for (std::size_t k = 0; k < replies.size(); ++k) {
    order.insert(order.begin() + static_cast<std::ptrdiff_t>(random.below(k + 1)), k);
  }
  Json texts = Json::array();
  for (const std::size_t source : order) {
    const std::string text = ids.next();
    note(text, source);
    texts.push_back({{"id", text}, {"text", replies[source]}});
  }
  return {{"id", id}, {"prompt", prompt}, {"texts", std::move(texts)}};
}

bool all_equal(const std::vector<std::string>& replies) {
  return std::ranges::all_of(replies, [&](const std::string& reply) { return reply == replies.front(); });
}

}  // namespace

Study make_study(std::span<const ReplyRow> rows, const StudySettings& settings) {
  Random random(settings.seed);
  Ids ids(random);
  Study study;
  StudyKey& key = study.key;
  Json comparisons = Json::array();
  for (const ReplyRow& row : rows) {
    if (all_equal(row.replies)) {
      ++key.all_equal;
      continue;
    }
    const std::string id = ids.next();
    ComparisonKey& comparison = key.comparisons[id];
    comparison.prompt = hash_text(row.prompt);
    comparison.characters = count_characters(row.prompt);
    for (const std::string& reply : row.replies) comparison.characters += count_characters(reply);
    comparisons.push_back(shown(
        id, row.prompt, row.replies, ids, random,
        [&](const std::string& text, std::size_t source) { comparison.sources[text] = static_cast<int>(source); }));
  }
  if (comparisons.empty()) throw Error(ErrorCode::BadInput, "all sources reply the same to every prompt");
  Json checks = Json::array();
  for (const AttentionCheck& check : attention_checks(settings.checks, settings.names.size(), random)) {
    const std::string id = ids.next();
    checks.push_back(shown(id, check.prompt, check.replies, ids, random,
                           [&](const std::string& text, std::size_t k) { key.checks[id][text] = k == 0; }));
  }
  key.per_rater =
      settings.per_rater == 0 ? comparisons.size() : std::min<std::size_t>(settings.per_rater, comparisons.size());
  key.title = settings.title;
  key.seed = settings.seed;
  key.sources = settings.names;
  key.consent_filled = !settings.consent.empty();
  Json page{{"coala_study", 1},
            {"title", settings.title},
            {"question", settings.question},
            {"consent", key.consent_filled ? settings.consent : std::string(kConsentToFillIn)},
            {"consent_filled", key.consent_filled},
            {"comparisons_per_rater", key.per_rater},
            {"comparisons", std::move(comparisons)},
            {"attention_checks", std::move(checks)}};
  key.study = hash_text(page.dump(-1, ' ', false, Json::error_handler_t::replace));
  page["study"] = key.study;
  study.page = study_page(page);
  return study;
}

}  // namespace coala
