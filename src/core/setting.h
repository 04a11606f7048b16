#pragma once

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace coala {

/// Numbers that a setting may be: any finite one, unless it says less.
struct Range {
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
  bool above = false;    ///< `least` itself is none of them
  bool or_zero = false;  ///< 0 is one, and means something of its own

  bool holds(double value) const;
  /// "0, or 0.001 to 1000"; "" where every number will do.
  std::string in_words() const;
};

/// What there is to say of a setting. A struct of settings lists them once, in a function beside its members:
///
///     template <class Self, class List>
///     static void list(Self& self, const List& add) {
///       add(Setting{.name = "top_k", .about = "draw from that many ..", .range = {.least = 0}}, self.top_k);
///       ..
///
/// and for_each_setting() goes over them. Checks, options of the command line (terminal/setting_options.h), JSON
/// (core/setting_json.h) and what requests may ask for (serve/setting_fields.h) are made of that list;
/// tests/settings_test.cpp says whether every member is in it.
struct Setting {
  std::string_view name;              ///< the member's
  std::string about = {};             ///< for people, in one line
  Range range = {};                   ///< of numbers
  std::optional<Range> request = {};  ///< what a request may ask for within the range; absent: not this setting
  std::string_view key = {};          ///< in JSON, where it is not the name
  std::string_view option = {};       ///< of the command line, where it is not the key
  bool has_option = true;             ///< made of this list
  std::string_view absent = {};       ///< what happens without a value that may be absent
  std::string_view group = {};        ///< before the option's name, and around the key

  std::string_view json_key() const { return key.empty() ? name : key; }
  /// Without the dashes in front: "cronos-beta".
  std::string option_name() const;
};

/// In a list: a member that has settings of its own.
struct SettingGroup {
  std::string_view name;
};

/// In a list: a member that is seen to by hand.
struct NoSetting {
  std::string_view why;
};

/// A value of an enumeration, and what people and files call it. The names of an enumeration E are the array
/// names_of(E), declared beside it or beside the settings that have it.
template <class Enum>
struct Named {
  std::string_view name;
  Enum value;
};
template <class Enum>
Named(std::string_view, Enum) -> Named<Enum>;  // which clang 14 does not find by itself

/// "" for a value that has none.
template <class Enum>
requires std::is_enum_v<Enum> std::string_view name_of(Enum value) {
  const auto& names = names_of(Enum{});
  const auto found = std::ranges::find(names, value, &Named<Enum>::value);
  return found == names.end() ? std::string_view() : found->name;
}

template <class Enum>
requires std::is_enum_v<Enum> std::optional<Enum> value_named(std::string_view name) {
  const auto& names = names_of(Enum{});
  const auto found = std::ranges::find(names, name, &Named<Enum>::name);
  return found == names.end() ? std::nullopt : std::optional(found->value);
}

/// Calls visit(setting, value) for each setting, in the order of the list, those of groups among them.
template <class Settings, class Visit>
void for_each_setting(Settings& settings, const Visit& visit, std::string_view group = {}) {
  std::remove_const_t<Settings>::list(settings, [&](const auto& entry, auto& value) {
    using Entry = std::remove_cvref_t<decltype(entry)>;
    if constexpr (std::is_same_v<Entry, SettingGroup>) {
      for_each_setting(value, visit, entry.name);
    } else if constexpr (std::is_same_v<Entry, Setting>) {
      Setting setting = entry;
      if (setting.group.empty()) setting.group = group;
      visit(setting, value);
    }
  });
}

/// @param name  what who is told knows it by
/// @throws Error{BadUsage}: "top-p is 2; it must be above 0 and at most 1"
[[noreturn]] void refuse_setting(std::string_view name, std::string_view value, std::string_view range);
/// @param text  the value as it was written
void check_range(const Range& range, double value, std::string_view name, std::string_view text);
void check_setting(const Setting& setting, double value, std::string_view name);

/// @param owner  "FitSettings::" names members of it; "": settings are known by their options
/// @throws Error{BadUsage} naming the first that is out of range, its value and its range
template <class Settings>
void check_settings(const Settings& settings, std::string_view owner = {}) {
  for_each_setting(settings, [&]<class T>(const Setting& setting, const T& value) {
    if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
      const std::string name = owner.empty() ? setting.option_name() : std::string(owner).append(setting.name);
      check_setting(setting, static_cast<double>(value), name);
    }
  });
}

}  // namespace coala
