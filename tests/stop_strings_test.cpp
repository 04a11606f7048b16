// Stop strings, and the text of a reply as it grows.
#include "decode/stop_strings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>

#include "core/utf8.h"
#include "tiny_replies.h"

namespace coala {
namespace {

using namespace test;  // NOLINT

TEST(StopStrings, AreFoundAndSeenComing) {
  const std::vector<std::string> stops{"\n\nQ:", "END"};
  EXPECT_EQ(find_stop("a END\n\nQ:", stops), 2u);
  EXPECT_EQ(find_stop("a\n\nQ: END", stops), 1u);
  EXPECT_EQ(find_stop("a EN", stops), std::string::npos);
  EXPECT_EQ(unsettled_bytes("a EN", stops), 2u);
  EXPECT_EQ(unsettled_bytes("a\n", stops), 1u);
  EXPECT_EQ(unsettled_bytes("a\n\n", stops), 2u);
  EXPECT_EQ(unsettled_bytes("a", stops), 0u);
  EXPECT_EQ(unsettled_bytes("", stops), 0u);
  EXPECT_EQ(unsettled_bytes("caf\xef\xbf\xbd", {}), 3u);
  EXPECT_EQ(unsettled_bytes("E\xef\xbf\xbd", stops), 4u);
}

/// Every reply is the beginning, up to the stop string, of what it would be without.
TEST(StopStrings, EndARepliesTextAndScore) {
  const EncodedPrompt prompt = chat("the hen");
  for (const bool branches : {false, true}) {
    GenerationSettings settings = wild(60, 40);
    settings.reward = reward();
    if (branches) settings.branch = BranchSettings{.every = 2};
    const std::vector<Reply> whole = replies_to(prompt, settings);
    settings.stops = {"he", "\xc3\xa9"};
    // And some that begin within a token and end three tokens later.
    for (std::size_t i = 0; i < 20; ++i) {
      if (whole[i].tokens.size() < 9) continue;
      const auto bytes = [&](std::size_t tokens) {
        return tiny().decode_response(prompt, std::span(whole[i].tokens).first(tokens)).size();
      };
      if (bytes(5) == 0) continue;
      const std::string stop = whole[i].text.substr(bytes(5) - 1, bytes(8) - bytes(5) + 1);
      if (stop != "\xef\xbf\xbd") settings.stops.push_back(stop);  // it is in every second text
    }
    ASSERT_GT(settings.stops.size(), 5u);
    const std::vector<Reply> stopped = replies_to(prompt, settings);
    int ended = 0;
    int within_a_token = 0;
    for (std::size_t i = 0; i < whole.size(); ++i) {
      const std::size_t at = find_stop(whole[i].text, settings.stops);
      EXPECT_EQ(stopped[i].text, whole[i].text.substr(0, at));
      const std::string of_tokens = tiny().decode_response(prompt, stopped[i].tokens);
      EXPECT_TRUE(stopped[i].text.starts_with(of_tokens));
      if (at == std::string::npos) continue;
      ++ended;
      within_a_token += of_tokens.size() < at ? 1 : 0;
      EXPECT_EQ(stopped[i].finish, Finish::Stop);
      EXPECT_EQ(stopped[i].score.has_value(), !stopped[i].tokens.empty());
      if (!stopped[i].score) continue;
      const Expected expected = expected_score(prompt, stopped[i].tokens, {});
      EXPECT_NEAR(*stopped[i].score, expected.score, expected.tolerance);
    }
    EXPECT_GT(ended, 5);
    EXPECT_GT(within_a_token, 0);
  }
  GenerationSettings settings = wild(1, 5);
  settings.stops = {"a", ""};
  EXPECT_EQ(error_code_of([&] { replies_to(prompt, settings); }), ErrorCode::BadUsage);
}

/// What the first bytes of a character look like, until the others come.
TEST(StopStrings, MayBeWhatABrokenCharacterLooksLike) {
  const EncodedPrompt prompt = chat("the hen");
  GenerationSettings settings = wild(60, 12);
  settings.reward = reward();
  const std::vector<Reply> whole = replies_to(prompt, settings);
  settings.stops = {"\xef\xbf\xbd"};
  const std::vector<Reply> stopped = replies_to(prompt, settings);
  int behind_letters = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const std::size_t at = whole[i].text.find(settings.stops[0]);
    EXPECT_EQ(stopped[i].text, whole[i].text.substr(0, at));
    const std::string_view text = stopped[i].text;
    behind_letters += std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }) ? 1 : 0;
    if (!stopped[i].score) continue;
    const Expected expected = expected_score(prompt, stopped[i].tokens, {});
    EXPECT_NEAR(*stopped[i].score, expected.score, expected.tolerance);
  }
  EXPECT_GT(behind_letters, 0);  // of several bytes
}

/// The model is left with the two bytes of one letter, in any order.
TEST(Streaming, SplitsNoCharacter) {
  const EncodedPrompt prompt = chat("hi");
  const auto byte = [](int value) { return static_cast<Token>(3 + value); };
  const std::set<Token> allowed{byte(0xc3), byte(0xa9), byte('x')};
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    GenerationSettings settings = wild(1, 30);
    settings.seed = seed;
    for (std::size_t i = 0; i < tiny().tokenizer().size(); ++i) {
      const auto token = static_cast<Token>(i);
      if (!allowed.contains(token)) settings.sampling.logit_bias[token] = -std::numeric_limits<double>::infinity();
    }
    settings.sampling.temperature = 100;  // all three alike
    settings.stops = {"xxx"};
    std::string streamed;
    int pieces = 0;
    settings.on_text = [&](std::string_view piece) {
      EXPECT_EQ(find_invalid_utf8(piece), std::string_view::npos);
      streamed += piece;
      ++pieces;
    };
    const Reply reply = replies_to(prompt, settings).front();
    EXPECT_EQ(streamed, reply.text);
    EXPECT_EQ(reply.text.find("xxx"), std::string::npos);
    if (reply.tokens.size() > 10) {
      EXPECT_GT(pieces, 3);
    }
  }
}

/// Four bytes in any order: characters that take several tokens, and beginnings of some that never come.
TEST(Streaming, ShowsWhatIsBrokenOnlyWhenItStaysSo) {
  const EncodedPrompt prompt = chat("hi");
  const std::string face = "\xf0\x9f\x98\x80";
  GenerationSettings settings = wild(1, 60);
  for (std::size_t i = 0; i < tiny().tokenizer().size(); ++i) {
    const auto token = static_cast<Token>(i);
    const bool byte = token >= 3 && token < 259 && face.find(static_cast<char>(token - 3)) != std::string::npos;
    if (!byte) settings.sampling.logit_bias[token] = -std::numeric_limits<double>::infinity();
  }
  settings.sampling.temperature = 100;  // all four alike
  int whole = 0;
  int broken = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    settings.seed = seed;
    std::string streamed;
    settings.on_text = [&](std::string_view piece) {
      EXPECT_EQ(find_invalid_utf8(piece), std::string_view::npos);
      streamed += piece;
    };
    const Reply reply = replies_to(prompt, settings).front();
    EXPECT_EQ(streamed, reply.text) << seed;
    EXPECT_EQ(find_invalid_utf8(reply.text), std::string_view::npos);
    whole += reply.text.find(face) != std::string::npos ? 1 : 0;
    broken += reply.text.find("\xef\xbf\xbd") != std::string::npos ? 1 : 0;
  }
  EXPECT_GT(whole, 3);
  EXPECT_GT(broken, 3);
}

}  // namespace
}  // namespace coala
