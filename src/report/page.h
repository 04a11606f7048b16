#pragma once

#include <string>
#include <vector>

namespace coala {

/// A column of a table: how its cells are set.
struct Column {
  enum class Kind { Text, Number, Code };
  std::string title;
  Kind kind = Kind::Text;
};

/// An HTML page that is well-formed XML as well, has no script and needs nothing from elsewhere. All text is escaped
/// here.
class Page {
 public:
  explicit Page(const std::string& title);

  /// Starts a section, which ends with the next one.
  void section(const std::string& id, const std::string& title);
  void paragraph(const std::string& text);
  /// The answer to what the reader came for. `mark` as in Key.
  void verdict(const std::string& text, const std::string& mark);
  void note(const std::string& text);
  /// Headline figures, side by side where there is room.
  struct Tile {
    std::string value;
    std::string name;
    std::string detail;
  };
  void tiles(const std::vector<Tile>& tiles);
  /// A box that cannot be overlooked.
  void alert(const std::string& title, const std::vector<std::string>& lines);
  void table(const std::vector<Column>& columns, const std::vector<std::vector<std::string>>& rows);
  /// Name and value, without a header; pairs with an empty value are left out.
  void facts(const std::vector<std::pair<std::string, std::string>>& rows, Column::Kind kind = Column::Kind::Text);
  /// The same behind a summary to be opened.
  void folded_facts(const std::string& summary, const std::vector<std::pair<std::string, std::string>>& rows,
                    Column::Kind kind = Column::Kind::Text);
  /// What a colour of a figure stands for. `mark` is one of the marks of figures (report/plot.h).
  struct Key {
    std::string mark;
    std::string text;
  };
  /// Figures and tables between start_columns() and end_columns() stand side by side where there is room.
  void start_columns() { html_ += "<div class=\"columns\">\n"; }
  void end_columns() { html_ += "</div>\n"; }
  void figure(const std::string& id, const std::string& svg, const std::vector<Key>& keys, const std::string& caption);
  /// Sections that follow are behind a summary to be opened, up to the end of the page.
  void fold(const std::string& summary);
  void code(const std::string& text);
  /// Texts of an example with their names, long ones cut.
  void example(const std::string& title, const std::vector<std::pair<std::string, std::string>>& texts);

  std::string finish();

 private:
  std::string html_;
  bool in_section_ = false;
  bool folded_ = false;
};

}  // namespace coala
