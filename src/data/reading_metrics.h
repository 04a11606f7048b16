#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/metric.h"
#include "data/counts.h"

namespace coala {

/// Pairs or labelled responses that were left out, by the reason.
struct LeftOutPairs {
  std::uint64_t ties = 0;
  std::uint64_t contradictions = 0;
  std::uint64_t empty = 0;
  std::uint64_t null = 0;
  std::uint64_t identical = 0;
  std::uint64_t no_shared_prompt = 0;
  std::uint64_t weightless = 0;

  static constexpr MetricTable kTable{"Left out", "Pairs or labelled responses that were left out, by the reason."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    constexpr const char* kUnit = "pairs";
    add(Metric{.key = "ties", .about = "neither response is preferred", .unit = kUnit}, self.ties);
    add(Metric{.key = "contradictions", .about = "the rejected response has the higher score", .unit = kUnit},
        self.contradictions);
    add(Metric{.key = "empty", .about = "a response is empty or white space", .unit = kUnit}, self.empty);
    add(Metric{.key = "null", .about = "a prompt or a response is null, or a response is missing", .unit = kUnit},
        self.null);
    add(Metric{.key = "identical", .about = "both responses are the same", .unit = kUnit}, self.identical);
    add(Metric{.key = "no_shared_prompt", .about = "dialogues that part at a turn of the user", .unit = kUnit},
        self.no_shared_prompt);
    add(Metric{.key = "weightless", .about = "their weight is 0", .unit = kUnit}, self.weightless);
  }
};

/// Records that gave nothing, by the reason.
struct RecordsWithout {
  std::uint64_t short_conversations = 0;
  std::uint64_t alone = 0;
  std::uint64_t bad = 0;
  std::uint64_t unrated = 0;

  static constexpr MetricTable kTable{"Records without", "Records that gave nothing, by the reason."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "short_conversations", .about = "conversations without a second answer", .unit = "records"},
        self.short_conversations);
    add(Metric{.key = "alone", .about = "a rated response without another one to the same prompt", .unit = "records"},
        self.alone);
    add(Metric{.key = "bad", .about = "records that cannot be read, where they are skipped", .unit = "records"},
        self.bad);
    add(Metric{.key = "unrated", .about = "responses of a ranking without a place in it", .unit = "responses"},
        self.unrated);
  }
};

/// Columns of a file, each with the records that have it.
struct ColumnMetrics {
  NamedCounts read;
  NamedCounts ignored;

  static constexpr MetricTable kTable{"Columns", "Columns of the files, each with the number of records that have it."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "read", .about = "columns that were read", .unit = "records"}, self.read);
    add(Metric{.key = "ignored", .about = "columns that were left aside", .unit = "records"}, self.ignored);
  }
};

/// What was read of some files and what was not.
struct ReadingMetrics {
  std::vector<std::string> files;
  std::uint64_t lines = 0;
  std::uint64_t blank_lines = 0;
  std::uint64_t records = 0;
  std::uint64_t records_used = 0;
  std::uint64_t records_left_out = 0;
  NamedCounts shapes;
  LeftOutPairs left_out;
  RecordsWithout records_without;
  std::uint64_t diverged_early = 0;
  std::optional<std::uint64_t> conversations;
  std::optional<std::uint64_t> triplets;
  ColumnMetrics columns;

  static constexpr MetricTable kTable{"Reading", "What was read of preference files and what was not."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    constexpr const char* kOfConversations = "of conversations";
    add(Metric{.key = "files", .about = "the files as they were named"}, self.files);
    add(Metric{.key = "lines", .about = "lines of the files", .unit = "lines"}, self.lines);
    add(Metric{.key = "blank_lines", .about = "those without a record", .unit = "lines"}, self.blank_lines);
    add(Metric{.key = "records", .about = "JSON objects of the files, or rows of a table in one", .unit = "records"},
        self.records);
    add(Metric{.key = "records_used", .about = "those that something was made of", .unit = "records"},
        self.records_used);
    add(Metric{.key = "records_left_out", .about = "the others", .unit = "records"}, self.records_left_out);
    add(Metric{.key = "shapes",
               .about = "pairs or labelled responses by the shape that they came from (data-shapes.md)",
               .unit = "pairs"},
        self.shapes);
    add(Metric{.key = "left_out", .about = "what was left out"}, self.left_out);
    add(Metric{.key = "records_without", .about = "records that gave nothing"}, self.records_without);
    add(Metric{.key = "diverged_early",
               .about = "pairs that were kept whose dialogues part before the last turn",
               .unit = "pairs"},
        self.diverged_early);
    add(Metric{.key = "conversations",
               .about = "conversations that were read",
               .unit = "conversations",
               .when = kOfConversations},
        self.conversations);
    add(Metric{.key = "triplets",
               .about = "pairs made of them, before empty or identical ones are left out",
               .unit = "pairs",
               .when = kOfConversations},
        self.triplets);
    add(Metric{.key = "columns", .about = "columns that were read and ignored"}, self.columns);
  }
};

ReadingMetrics reading_metrics(const ReaderCounts& counts);

}  // namespace coala
