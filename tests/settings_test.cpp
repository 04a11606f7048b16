#include <fmt/format.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/setting_json.h"
#include "decode/branch_settings.h"
#include "extract/feature_settings.h"
#include "features/provenance_keys.h"
#include "head/fit.h"
#include "lm/sampler.h"
#include "members.h"
#include "serve/schema.h"
#include "serve/setting_fields.h"
#include "terminal/setting_options.h"

namespace coala {
namespace {

/// Calls change(setting, value) for one of the settings.
template <class Settings, class Change>
void at(Settings& settings, std::size_t place, const Change& change) {
  std::size_t k = 0;
  for_each_setting(settings, [&](const Setting& setting, auto& value) {
    if (k++ == place) change(setting, value);
  });
}

template <class Settings>
std::vector<Setting> listed() {
  std::vector<Setting> all;
  const Settings settings;
  for_each_setting(settings, [&](const Setting& setting, const auto&) { all.push_back(setting); });
  return all;
}

/// Another value that the setting may have.
template <class T>
T other(const Setting& setting, const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return !value;
  } else if constexpr (std::is_enum_v<T>) {
    const auto& names = names_of(T{});
    return names[0].value == value ? names[1].value : names[0].value;
  } else {
    const T larger = value + 1;
    if (setting.range.holds(static_cast<double>(larger))) return larger;
    return value == 0 ? static_cast<T>(setting.range.least) : value / 2;  // 0 may stand beside the range
  }
}
template <class T>
std::optional<T> other(const Setting&, const std::optional<T>&) {
  return names_of(T{})[0].value;
}

/// Numbers above the range and below it, where it ends and the type has them.
template <class T>
std::vector<T> outside(const Range& range) {
  std::vector<T> numbers;
  if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
    if (std::isfinite(range.most)) numbers.push_back(static_cast<T>(range.most + 1));
    // Half of what may be small: 0 may be allowed beside it.
    const double next = std::is_integral_v<T> || range.least <= 0 ? range.least - 1 : range.least / 2;
    const double below = range.above ? range.least : next;
    if (std::isfinite(below) && (std::is_signed_v<T> || below >= 0)) numbers.push_back(static_cast<T>(below));
  }
  return numbers;
}

/// As it is written on a command line.
template <class T>
std::string text_of(const T& value) {
  if constexpr (std::is_arithmetic_v<T>) {
    return fmt::format("{}", value);
  } else {
    return setting_json(value).template get<std::string>();
  }
}

/// The words of an error of bad usage; "": there is none.
std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code() == ErrorCode::BadUsage ? error.what() : "another error";
  }
  return "";
}

template <class Settings>
void parse_options(Settings& settings, std::vector<std::string> words) {
  CLI::App app;
  add_setting_options(app, settings);
  std::ranges::reverse(words);  // as CLI11 takes them
  app.parse(std::move(words));
}

template <class Settings>
struct SettingsList : ::testing::Test {};
using All =
    ::testing::Types<SamplerOptions, BranchSettings, CronosSettings, PhaseTwoSettings, FitSettings, FeatureSettings>;
TYPED_TEST_SUITE(SettingsList, All);

TYPED_TEST(SettingsList, HasEveryMemberOnce) {
  std::set<const void*> addresses;
  std::size_t entries = 0;
  const TypeParam settings;
  TypeParam::list(settings, [&](const auto&, const auto& value) {
    addresses.insert(&value);
    ++entries;
  });
  EXPECT_EQ(entries, test::members<TypeParam>());
  EXPECT_EQ(addresses.size(), entries);
}

TYPED_TEST(SettingsList, TellsSettingsApart) {
  std::set<std::string> names;
  std::set<std::string> keys;
  std::set<std::string> options;
  for (const Setting& setting : listed<TypeParam>()) {
    EXPECT_TRUE(names.insert(fmt::format("{} {}", setting.group, setting.name)).second) << setting.name;
    EXPECT_TRUE(keys.insert(fmt::format("{} {}", setting.group, setting.json_key())).second) << setting.name;
    EXPECT_TRUE(options.insert(setting.option_name()).second) << setting.name;
    EXPECT_TRUE(!setting.about.empty() || !(setting.has_option || setting.request)) << setting.name;
  }
  EXPECT_FALSE(names.empty());
}

TYPED_TEST(SettingsList, HasStandardsWithinTheirRanges) {
  EXPECT_EQ(refusal([] { check_settings(TypeParam{}); }), "");
}

/// What is changed is another fingerprint, and comes back from its JSON.
TYPED_TEST(SettingsList, GoesThroughJson) {
  const nlohmann::ordered_json standard = settings_json(TypeParam{});
  for (std::size_t i = 0; i < listed<TypeParam>().size(); ++i) {
    TypeParam changed;
    nlohmann::ordered_json json;
    at(changed, i, [&](const Setting& setting, auto& value) {
      SCOPED_TRACE(setting.name);
      value = other(setting, value);
      json = setting_json(value);
    });
    TypeParam read;
    at(read, i, [&](const Setting&, auto& value) { read_setting(json, value); });
    EXPECT_EQ(settings_json(read), settings_json(changed)) << json;
    EXPECT_NE(settings_json(read).dump(), standard.dump()) << json;
  }
}

TYPED_TEST(SettingsList, IsReadFromOptions) {
  for (std::size_t i = 0; i < listed<TypeParam>().size(); ++i) {
    TypeParam changed;
    std::vector<std::string> words;
    at(changed, i, [&](const Setting& setting, auto& value) {
      if (!setting.has_option) return;
      value = other(setting, value);
      words.push_back("--" + setting.option_name());
      if (!std::is_same_v<std::remove_reference_t<decltype(value)>, bool>) words.push_back(text_of(value));
    });
    TypeParam read;
    parse_options(read, words);
    EXPECT_EQ(settings_json(read), settings_json(changed)) << i;
  }
}

TYPED_TEST(SettingsList, IsRefusedOutOfRangeByItsName) {
  for (std::size_t i = 0; i < listed<TypeParam>().size(); ++i) {
    TypeParam wrong;
    at(wrong, i, [&]<class T>(const Setting& setting, T& value) {
      const std::string range = setting.range.in_words();
      const auto expect_refused = [&](const T& bad, const std::string& expected) {
        value = bad;
        const std::string number = text_of(bad);
        const std::string is = fmt::format(" is {}; it must be {}", number, expected);
        EXPECT_EQ(refusal([&] { check_settings(wrong); }), setting.option_name() + is);
        EXPECT_EQ(refusal([&] { check_settings(wrong, "Settings::"); }),
                  fmt::format("Settings::{}{}", setting.name, is));
        if (!setting.has_option) return;
        const std::string flag = "--" + setting.option_name();
        TypeParam read;
        EXPECT_EQ(refusal([&] { parse_options(read, {flag, number}); }), flag + is);
      };
      for (const T& bad : outside<T>(setting.range)) expect_refused(bad, range);
      if constexpr (std::is_floating_point_v<T>) {
        const std::string finite = range.empty() ? "a finite number" : "a finite number, " + range;
        for (const T bad : {std::numeric_limits<T>::infinity(), std::numeric_limits<T>::quiet_NaN()}) {
          expect_refused(bad, finite);
        }
      }
    });
  }
}

template <class Settings>
std::string refusal_of(const std::string& option, const std::string& value) {
  Settings settings;
  return refusal([&] { parse_options(settings, {option, value}); });
}

/// By the numbers themselves: the tests above take them from the ranges.
TEST(Settings, RefuseNumbersThatMeanNothing) {
  EXPECT_EQ(refusal_of<SamplerOptions>("--temperature", "0.0005"),
            "--temperature is 0.0005; it must be 0, or 0.001 to 1000");
  EXPECT_EQ(refusal_of<SamplerOptions>("--top-p", "0"), "--top-p is 0; it must be above 0 and at most 1");
  EXPECT_EQ(refusal_of<SamplerOptions>("--repeat-penalty", "0"), "--repeat-penalty is 0; it must be 0.1 to 10");
  EXPECT_EQ(refusal_of<BranchSettings>("--guide-top-p", "0"), "--guide-top-p is 0; it must be above 0 and at most 1");
  EXPECT_EQ(refusal_of<BranchSettings>("--guide-every", "0"), "--guide-every is 0; it must be 1 or more");
  EXPECT_EQ(refusal_of<BranchSettings>("--look-ahead", "0"), "--look-ahead is 0; it must be 1 to 64");
  EXPECT_EQ(refusal_of<FitSettings>("--selection-folds", "1"), "--selection-folds is 1; it must be 2 to 100");
  EXPECT_EQ(refusal_of<FitSettings>("--tolerance", "0"), "--tolerance is 0; it must be 1e-07 to 1");
  EXPECT_EQ(refusal_of<FitSettings>("--time-limit", "-1"), "--time-limit is -1; it must be 0 or more");
  EXPECT_EQ(refusal_of<FitSettings>("--time-limit", "inf"),
            "--time-limit is inf; it must be a finite number, 0 or more");
  EXPECT_EQ(refusal_of<FitSettings>("--cronos-rho", "0"), "--cronos-rho is 0; it must be above 0");
  EXPECT_EQ(refusal_of<FeatureSettings>("--max-length", "7"), "--max-length is 7; it must be 0, or 8 or more");
  EXPECT_EQ(refusal_of<FeatureSettings>("--max-length", "8"), "");
  EXPECT_EQ(refusal_of<FeatureSettings>("--max-length", "0"), "");
}

/// What requests may ask for, by its key.
const std::map<std::string, nlohmann::json>& asked() {
  static const std::map<std::string, nlohmann::json> all{
      {"temperature", {{"type", "number"}, {"minimum", 0}, {"maximum", 2}}},
      {"top_p", {{"type", "number"}, {"minimum", 0}, {"maximum", 1}}},
      {"top_k", {{"type", "integer"}, {"minimum", 0}, {"maximum", 1'000'000}}},
      {"min_p", {{"type", "number"}, {"minimum", 0}, {"maximum", 1}}},
      {"repeat_penalty", {{"type", "number"}, {"minimum", 0.1}, {"maximum", 10}}},
      {"presence_penalty", {{"type", "number"}, {"minimum", -2}, {"maximum", 2}}},
      {"frequency_penalty", {{"type", "number"}, {"minimum", -2}, {"maximum", 2}}},
      {"guide_every", {{"type", "integer"}, {"minimum", 1}, {"maximum", 1'048'576}}}};
  return all;
}

/// A request's value is read, one that is out of range is refused, and both by the schema that /openapi.json shows.
TYPED_TEST(SettingsList, IsReadFromRequests) {
  const Operation& operation = *find_operation("POST", "/v1/chat/completions");
  for (std::size_t i = 0; i < listed<TypeParam>().size(); ++i) {
    TypeParam changed;
    nlohmann::json body;
    at(changed, i, [&]<class T>(const Setting& setting, T& value) {
      const std::string key(setting.json_key());
      ASSERT_EQ(setting.request.has_value(), asked().contains(key)) << key;
      if (!setting.request) return;
      const auto field = std::ranges::find(operation.fields, key, &Field::name);
      value = other(setting, value);
      body[key] = setting_json(value);
      ASSERT_NE(field, operation.fields.end()) << key;
      const nlohmann::json& schema = asked().at(key);
      EXPECT_EQ(field->schema, schema) << key;
      EXPECT_FALSE(find_violation(body[key], field->schema, key)) << body;
      using Number = std::conditional_t<std::is_integral_v<T>, std::int64_t, double>;
      const auto least = schema["minimum"].template get<Number>();
      const auto most = schema["maximum"].template get<Number>();
      for (const Number bad : {least - 1, most + 1}) {
        const std::optional<Violation> violation = find_violation(bad, field->schema, key);
        ASSERT_TRUE(violation) << key << " " << bad;
        EXPECT_EQ(violation->where, key);
      }
      for (const Number good : {least, most}) EXPECT_FALSE(find_violation(good, field->schema, key)) << key;
    });
    TypeParam read;
    read_request(body, read);
    EXPECT_EQ(settings_json(read), settings_json(changed)) << body;
  }
}

/// What decides a feature is a part of the fingerprint.
TEST(FeatureSettings, AreInTheFingerprint) {
  for (const Setting& setting : listed<FeatureSettings>()) {
    const auto entry = std::ranges::find(kProvenanceKeys, setting.json_key(), &ProvenanceKey::key);
    ASSERT_NE(entry, kProvenanceKeys.end()) << setting.name;
    EXPECT_TRUE(entry->decides) << setting.name;
  }
}

}  // namespace
}  // namespace coala
