#include <fmt/format.h>

#include "report/sections.h"

namespace coala {
namespace {

void show(Page& page, const std::string& heading, const std::vector<Example>& examples, bool with_texts) {
  page.paragraph(heading);
  if (examples.empty()) page.note("None.");
  if (!with_texts) {
    std::vector<std::vector<std::string>> rows;
    for (const Example& example : examples) {
      rows.push_back({fmt::format("{}", example.record), fmt::format("{:+.3f}", example.margin)});
    }
    if (!rows.empty()) page.table({{"Row", Column::Kind::Number}, {"Margin", Column::Kind::Number}}, rows);
    return;
  }
  for (const Example& example : examples) {
    std::vector<std::pair<std::string, std::string>> texts;
    if (!example.prompt.empty()) texts.emplace_back("prompt", example.prompt);
    if (example.label == 0) {
      texts.emplace_back("chosen", example.chosen);
      texts.emplace_back("rejected", example.rejected);
    } else {
      texts.emplace_back(example.label > 0 ? "response, labelled good" : "response, labelled bad", example.chosen);
    }
    page.example(fmt::format("{}: margin {:+.3f}", example.id, example.margin), texts);
  }
}

}  // namespace

void examples_section(Page& page, const Examples& examples) {
  page.section("examples", "Examples");
  page.note(examples.with_texts
                ? "The held-out rows that the head is surest of, one of each prompt. Long texts are cut."
                : "The held-out rows that the head is surest of, one of each prompt, by their place among the rows of "
                  "whole responses (from 0). A feature file has no texts; the report of coala align shows them.");
  show(page, fmt::format("The {} surest that it gets right:", examples.right.size()), examples.right,
       examples.with_texts);
  show(page, fmt::format("The {} surest that it gets wrong:", examples.wrong.size()), examples.wrong,
       examples.with_texts);
}

}  // namespace coala
