#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "align/guidance_trial.h"
#include "core/setting.h"
#include "decode/export_head.h"
#include "decode/guidance.h"
#include "lm/backbone.h"

// Keywords of Python's functions that are no settings of a layer, in lists of the same kind.

namespace coala {

inline auto names_of(TemplateMode) {
  std::array<Named<TemplateMode>, 4> names{};
  std::size_t count = 0;
  for (const TemplateMode mode : {TemplateMode::Model, TemplateMode::Raw, TemplateMode::None, TemplateMode::Parsed}) {
    names[count++] = {template_mode_name(mode), mode};
  }
  return names;
}

inline auto names_of(Guidance) {
  std::array<Named<Guidance>, 6> names{};
  std::size_t count = 0;
  for (const auto& [name, guidance] : guidance_names()) names.at(count++) = {name, guidance};
  return names;
}

namespace python {

inline constexpr const char* kTemplateModes =
    "how messages become text: the model's chat template, or their contents with a line break after each (raw), word "
    "for word (none), or the same of texts that carry a template already (parsed)";
inline constexpr const char* kAllowUnbound = "accept heads that do not say which model they are for";

/// What is asked of a model, beside how tokens are drawn and how a head guides.
struct ReplyKeywords {
  std::size_t max_tokens = 128;
  std::uint64_t seed = 0;
  std::optional<Guidance> guidance;
  std::optional<TemplateMode> template_mode;
  std::string grammar;
  bool thinking = false;
  bool allow_unbound = false;

  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Setting{.name = "max_tokens", .about = "longest reply", .range = {.least = 1}}, self.max_tokens);
    add(Setting{.name = "seed", .about = "of everything random"}, self.seed);
    add(Setting{.name = "guidance",
                .about = "how a head guides: every token by the token head, the same without context (bias), the best "
                         "of several replies, sentence by sentence, or every few tokens (branch)",
                .absent = "none without a head, token where the head has a token head, else best-of-n"},
        self.guidance);
    add(Setting{.name = "template_mode",
                .about = kTemplateModes,
                .key = "template",
                .absent = "as the head was trained, else model"},
        self.template_mode);
    add(Setting{.name = "grammar", .about = "GBNF that replies conform to"}, self.grammar);
    add(Setting{.name = "thinking", .about = "let a model think before it answers, where its template knows that"},
        self.thinking);
    add(Setting{.name = "allow_unbound", .about = kAllowUnbound}, self.allow_unbound);
  }
};

/// What is asked of generate() alone.
struct SampleKeywords {
  std::optional<int> samples;

  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Setting{.name = "samples",
                .about = "so many independent replies, in a list",
                .range = {1, 256},
                .absent = "one, by itself"},
        self.samples);
  }
};

/// What decides features and is written in a way of its own.
struct FeatureKeywords {
  TemplateMode template_mode = TemplateMode::Model;
  std::string layers = "last";
  bool skip_bad = false;

  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Setting{.name = "template_mode", .about = kTemplateModes, .key = "template"}, self.template_mode);
    add(Setting{.name = "layers",
                .about =
                    "layers whose states are pooled, side by side: numbers from 1, or last (after the final norm)"},
        self.layers);
    add(Setting{.name = "skip_bad", .about = "leave out records that cannot be read or that the model cannot take"},
        self.skip_bad);
  }
};

/// What align() does beside features and fit.
struct AlignKeywords {
  double eval_fraction = 0.2;
  std::size_t token_rank = 32;
  double guidance_budget = kGuidanceBudget;
  std::string wish;
  int seeds = 1;

  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Setting{.name = "eval_fraction",
                .about = "without eval_data: share of the prompts that is held out",
                .range = {0.01, 0.9}},
        self.eval_fraction);
    add(Setting{.name = "token_rank", .about = "rank of the token head; 0: none"}, self.token_rank);
    add(Setting{.name = "guidance_budget",
                .about = "how far the token head may move the model from itself at scale 1: divergence per token as a "
                         "share of the model's entropy",
                .range = {0.001, 10}},
        self.guidance_budget);
    add(Setting{.name = "wish", .about = "what is wanted, in words: tried as a system prompt beside the head"},
        self.wish);
    add(Setting{.name = "seeds", .about = "training runs, of which the first is kept", .range = {1, 1000}}, self.seeds);
  }
};

struct ExportKeywords {
  HeadExport settings;
  bool allow_unbound = false;

  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Setting{.name = "format",
                .about = "an adapter (lora), the whole model (gguf), or the adapter where the model can have one"},
        self.settings.format);
    add(Setting{.name = "quantised",
                .about = "of a whole model: how the output matrix is stored; none: F16, or F32 as it was",
                .key = "quantise"},
        self.settings.quantised);
    add(Setting{.name = "scale", .about = "how strongly the head guides", .key = "guidance_scale"},
        self.settings.scale);
    add(Setting{.name = "name", .about = "what chat programs list the result as; '': the model's name and (coala)"},
        self.settings.name);
    add(Setting{.name = "allow_unbound", .about = kAllowUnbound}, self.allow_unbound);
  }
};

}  // namespace python
}  // namespace coala
