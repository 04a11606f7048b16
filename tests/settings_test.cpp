#include <fmt/format.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "cli/setting_options.h"
#include "core/error.h"
#include "core/setting_json.h"
#include "decode/branch_settings.h"
#include "extract/feature_settings.h"
#include "features/provenance_keys.h"
#include "head/fit.h"
#include "lm/sampler.h"
#include "serve/schema.h"
#include "serve/setting_fields.h"

namespace coala {
namespace {

/// Becomes whatever a member is.
struct Anything {
  template <class T>
  operator T() const;  // NOLINT(google-explicit-constructor)
};

template <class Settings, std::size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return requires {
    Settings{(static_cast<void>(I), Anything{})...};
  };
}

/// How many members an aggregate has.
template <class Settings, std::size_t N = 0>
constexpr std::size_t members() {
  if constexpr (takes<Settings>(std::make_index_sequence<N + 1>{})) {
    return members<Settings, N + 1>();
  } else {
    return N;
  }
}

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
    return setting.range.holds(static_cast<double>(larger)) ? larger : value / 2;
  }
}
template <class T>
std::optional<T> other(const Setting&, const std::optional<T>&) {
  return names_of(T{})[0].value;
}

/// A number that the range does not have; absent: the type has none.
template <class T>
std::optional<T> outside(const Range& range) {
  if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
    if (std::isfinite(range.most)) return static_cast<T>(range.most + 1);
    if (std::isfinite(range.least) && std::is_signed_v<T>)
      return static_cast<T>(range.above ? range.least : range.least - 1);
  }
  return std::nullopt;
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
  EXPECT_EQ(entries, members<TypeParam>());
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
      const std::optional<T> bad = outside<T>(setting.range);
      if (!bad) return;
      value = *bad;
      const std::string number = text_of(*bad);
      const std::string is = fmt::format(" is {}; it must be {}", number, setting.range.in_words());
      EXPECT_EQ(refusal([&] { check_settings(wrong); }), setting.option_name() + is);
      EXPECT_EQ(refusal([&] { check_settings(wrong, "Settings::"); }), fmt::format("Settings::{}{}", setting.name, is));
      if (!setting.has_option) return;
      const std::string flag = "--" + setting.option_name();
      TypeParam read;
      EXPECT_EQ(refusal([&] { parse_options(read, {flag, number}); }), flag + is);
    });
  }
}

/// A request's value is read, one that is out of range is refused, and both by the schema that /openapi.json shows.
TYPED_TEST(SettingsList, IsReadFromRequests) {
  const Operation& operation = *find_operation("POST", "/v1/chat/completions");
  for (std::size_t i = 0; i < listed<TypeParam>().size(); ++i) {
    TypeParam changed;
    nlohmann::json body;
    at(changed, i, [&]<class T>(const Setting& setting, T& value) {
      const std::string key(setting.json_key());
      const auto field = std::ranges::find(operation.fields, key, &Field::name);
      if (!setting.request) return;
      value = other(setting, value);
      body[key] = setting_json(value);
      ASSERT_NE(field, operation.fields.end()) << key;
      EXPECT_EQ(field->schema, request_schema<T>(setting));
      EXPECT_FALSE(find_violation(body[key], field->schema, key)) << body;
      if (!field->schema.contains("maximum")) return;
      const nlohmann::json large = field->schema["maximum"].template get<double>() + 1;
      const std::optional<Violation> violation = find_violation(large, field->schema, key);
      ASSERT_TRUE(violation) << key;
      EXPECT_EQ(violation->where, key);
      EXPECT_TRUE(setting.range.holds(field->schema["maximum"].template get<double>())) << key;
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
