#include "report/page.h"

#include <fmt/format.h>

#include <array>
#include <iterator>
#include <utility>

#include "core/shortened.h"
#include "report/markup.h"

namespace coala {
namespace {

// No character here may need escaping: the page is XML as well.
constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --paper: #fff; --ink: #1d2430; --muted: #5b6472; --line: #d9dde3; --soft: #f3f5f8;
  --a: #1f6fc9; --b: #c2570c; --bad: #b3261e; --bad-soft: #fdecea; --good: #1b7a43; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --ink: #e4e8ee; --muted: #9aa4b2; --line: #333a45;
  --soft: #1d222a; --a: #6fb1f7; --b: #f0a05a; --bad: #ff8a80; --bad-soft: #3a1d1b; --good: #6fd39b; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 0 auto; padding: 1rem 1rem 4rem; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; margin: 1rem 0 .2rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid var(--line); }
p { max-width: 46rem; margin: .5rem 0; }
.note, figcaption, .tile span { color: var(--muted); }
.note, figcaption { font-size: .9rem; }
table { border-collapse: collapse; margin: .6rem 0; min-width: min(100%, 30rem); max-width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .25rem .9rem .25rem 0; }
th { font-weight: 600; font-size: .85rem; color: var(--muted); }
td:last-child, th:last-child { padding-right: 0; }
td + td { min-width: 3.5rem; overflow-wrap: anywhere; }
tr + tr td, thead + tbody td { border-top: 1px solid var(--line); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
td.code, code { font: .85rem/1.45 ui-monospace, monospace; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .6rem; margin: 1rem 0; }
.tile { background: var(--soft); border-radius: .5rem; padding: .7rem .8rem; }
.tile b { display: block; font-size: 1.45rem; line-height: 1.2; } .tile span { display: block; font-size: .85rem; }
.alert { background: var(--bad-soft); border: 2px solid var(--bad); border-radius: .5rem; padding: .7rem 1rem;
  margin: 1rem 0; } .alert b { color: var(--bad); } .alert ul { margin: .3rem 0; padding-left: 1.2rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 0 2.5rem;
  align-items: start; } .columns table { min-width: 0; width: 100%; margin-top: 1rem; }
figure { margin: .8rem 0; max-width: 30rem; break-inside: avoid; }
svg { display: block; width: 100%; height: auto; font-family: system-ui, sans-serif; }
svg text { fill: var(--ink); font-size: 11px; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
svg text.faint { fill: var(--muted); }
svg .grid { stroke: var(--line); stroke-width: 1; fill: none; }
svg .rule { stroke: var(--muted); stroke-width: 1; stroke-dasharray: 4 3; fill: none; }
.mark-a { --mark: var(--a); } .mark-b { --mark: var(--b); } .mark-c { --mark: var(--muted); }
.mark-bad { --mark: var(--bad); } .mark-good { --mark: var(--good); }
svg .line { stroke: var(--mark); stroke-width: 2; fill: none; } svg .thin { stroke-width: 1; }
svg .fill { fill: var(--mark); } svg .ring { fill: none; stroke: var(--mark); stroke-width: 1.5; }
svg .cloud { fill: var(--mark); fill-opacity: .55; }
.key { white-space: nowrap; margin-right: 1rem; color: var(--ink); }
.key::before { content: ""; display: inline-block; width: .7rem; height: .7rem; border-radius: .15rem;
  margin-right: .35rem; background: var(--mark); }
details { margin: .6rem 0; } .rest > summary { font-size: 1.1rem; margin: 2rem 0; }
.verdict { border-left: 5px solid var(--mark); background: var(--soft); border-radius: .5rem; padding: .8rem 1rem;
  font-size: 1.1rem; max-width: none; } summary { cursor: pointer; color: var(--a); }
.example { border-left: 3px solid var(--line); padding-left: .8rem; margin: 1rem 0; break-inside: avoid; }
dd, code { overflow-wrap: anywhere; } .example dt { color: var(--muted); font-size: .85rem; } .example dd { margin: 0 0 .4rem; white-space: pre-wrap; }
.command { display: block; background: var(--soft); border-radius: .5rem; padding: .8rem 1rem; white-space: pre-wrap; }
@media (max-width: 30rem) { table { font-size: .875rem; } td, th { padding-right: .5rem; }
  td + td { min-width: 3rem; } }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } h2 { break-after: avoid; }
  figure { max-width: 22rem; } tr { break-inside: avoid; } }
)";

constexpr std::size_t kLongestText = 700;  ///< bytes of an example's text that are shown

const char* class_of(Column::Kind kind) {
  constexpr std::array<const char*, 3> kClasses{"", " class=\"number\"", " class=\"code\""};
  return kClasses.at(static_cast<std::size_t>(kind));
}

}  // namespace

Page::Page(const std::string& title) {
  html_ = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      // Nothing is fetched and nothing runs, whatever a data file has in it.
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<title>{0}</title>\n<style>{1}</style>\n</head>\n<body>\n<main>\n<h1>{0}</h1>\n",
      escape(title), kStyle);
}

void Page::section(const std::string& id, const std::string& title) {
  if (in_section_) html_ += "</section>\n";
  in_section_ = true;
  html_ += fmt::format("<section id=\"{}\">\n<h2>{}</h2>\n", escape(id), escape(title));
}

void Page::paragraph(const std::string& text) {
  html_ += fmt::format("<p>{}</p>\n", escape(text));
}

void Page::verdict(const std::string& text, const std::string& mark) {
  html_ += fmt::format("<p class=\"verdict mark-{}\">{}</p>\n", escape(mark), escape(text));
}

void Page::note(const std::string& text) {
  html_ += fmt::format("<p class=\"note\">{}</p>\n", escape(text));
}

void Page::tiles(const std::vector<Tile>& tiles) {
  html_ += "<div class=\"tiles\">\n";
  for (const Tile& tile : tiles) {
    html_ += fmt::format("<div class=\"tile\"><span>{}</span><b>{}</b><span>{}</span></div>\n", escape(tile.name),
                         escape(tile.value), escape(tile.detail));
  }
  html_ += "</div>\n";
}

void Page::alert(const std::string& title, const std::vector<std::string>& lines) {
  html_ += fmt::format("<div class=\"alert\" role=\"alert\"><b>{}</b>\n<ul>\n", escape(title));
  for (const std::string& line : lines) html_ += fmt::format("<li>{}</li>\n", escape(line));
  html_ += "</ul>\n</div>\n";
}

void Page::table(const std::vector<Column>& columns, const std::vector<std::vector<std::string>>& rows) {
  html_ += "<table>\n<thead><tr>";
  for (const Column& column : columns) {
    html_ += fmt::format("<th scope=\"col\"{}>{}</th>", class_of(column.kind), escape(column.title));
  }
  html_ += "</tr></thead>\n<tbody>\n";
  for (const std::vector<std::string>& row : rows) {
    html_ += "<tr>";
    for (std::size_t k = 0; k < row.size(); ++k) {
      html_ += fmt::format("<td{}><bdi>{}</bdi></td>", class_of(columns.at(k).kind), escape(row[k]));
    }
    html_ += "</tr>\n";
  }
  html_ += "</tbody>\n</table>\n";
}

void Page::facts(const std::vector<std::pair<std::string, std::string>>& rows, Column::Kind kind) {
  html_ += "<table>\n<tbody>\n";
  for (const auto& [name, value] : rows) {
    if (value.empty()) continue;
    html_ += fmt::format("<tr><td>{}</td><td{}><bdi>{}</bdi></td></tr>\n", escape(name), class_of(kind), escape(value));
  }
  html_ += "</tbody>\n</table>\n";
}

void Page::folded_facts(const std::string& summary, const std::vector<std::pair<std::string, std::string>>& rows,
                        Column::Kind kind) {
  html_ += fmt::format("<details><summary>{}</summary>\n", escape(summary));
  facts(rows, kind);
  html_ += "</details>\n";
}

void Page::figure(const std::string& id, const std::string& svg, const std::vector<Key>& keys,
                  const std::string& caption) {
  html_ += fmt::format("<figure id=\"{}\">\n{}<figcaption>", escape(id), svg);
  for (const Key& key : keys) {
    html_ += fmt::format("<span class=\"key mark-{}\">{}</span> ", escape(key.mark), escape(key.text));
  }
  html_ += fmt::format("{}{}</figcaption>\n</figure>\n", keys.empty() ? "" : "<br/>", escape(caption));
}

void Page::fold(const std::string& summary) {
  if (in_section_) html_ += "</section>\n";
  in_section_ = false;
  folded_ = true;
  html_ += fmt::format("<details class=\"rest\"><summary>{}</summary>\n", escape(summary));
}

void Page::code(const std::string& text) {
  html_ += fmt::format("<code class=\"command\">{}</code>\n", escape(text));
}

void Page::example(const std::string& title, const std::vector<std::pair<std::string, std::string>>& texts) {
  html_ += fmt::format("<div class=\"example\">\n<b>{}</b>\n", escape(title));
  if (!texts.empty()) html_ += "<dl>\n";
  for (const auto& [name, text] : texts) {
    html_ += fmt::format("<dt>{}</dt><dd dir=\"auto\">{}</dd>\n", escape(name), escape(shortened(text, kLongestText)));
  }
  html_ += texts.empty() ? "</div>\n" : "</dl>\n</div>\n";
}

std::string Page::finish() {
  if (in_section_) html_ += "</section>\n";
  if (folded_) html_ += "</details>\n";
  return std::move(html_) + "</main>\n</body>\n</html>\n";
}

}  // namespace coala
