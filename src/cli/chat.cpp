#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/generation_options.h"
#include "cli/model_features.h"
#include "cli/reply_output.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/messages.h"
#include "core/progress.h"
#include "core/utf8.h"
#include "data/pair_file.h"
#include "decode/conversation.h"
#include "decode/encode_prompts.h"
#include "terminal/columns_text.h"
#include "terminal/console.h"
#include "terminal/path_kinds.h"
#include "terminal/words.h"

namespace coala {
namespace {

struct ChatCommand {
  CommonOptions common;
  ModelOptions model;
  std::string head;
  bool allow_unbound = false;
  std::string system;
  std::string pairs = "chat-pairs.jsonl";
  bool compares = false;
  GenerationOptions generation;
};

constexpr std::size_t kWide_columns = 100;  // of a terminal that shows two replies beside each other

/// A conversation with a model, and what its user says of the replies.
class Chat {
 public:
  Chat(ChatCommand& command, const CLI::App& app) : command_(command), pairs_file_(command.pairs) {
    pairs_file_.last_number(id_prefix());  // before a word is said: may pairs be added to it?
    if (!command.head.empty()) head_ = load_head(command.head);
    GenerationOptions& generation = command.generation;
    guidance_ = guidance_of(generation, app, head_ ? &*head_ : nullptr);
    complete_settings(generation, guidance_, app);
    mode_ = command.model.template_mode();
    backbone_.emplace(command.model.file());
    if (head_) {
      generation.settings.reward = {
          &*head_, check_model(*head_, command.head, *backbone_, command.model, command.allow_unbound)};
      mode_ = generation.settings.reward->features.template_mode;
    }
    show_warnings(*backbone_, mode_);
    bind_to_model(generation, guidance_, *backbone_, head_ ? &*head_ : nullptr);
    seed_ = command.common.seed;
    threads_ = chosen_threads(command.common);
    compares_ = command.compares;
    if (compares_) require_head();
  }

  void run() {
    const bool asks = ::isatty(STDIN_FILENO) != 0;
    if (asks) write_message("a conversation; /help lists what else can be said\n");
    for (std::string line; !ended_;) {
      if (asks) write_message("> ");
      if (!std::getline(std::cin, line)) break;
      throw_if_interrupted();
      const std::string_view said = trimmed(line);
      try {
        if (find_invalid_utf8(said) != std::string_view::npos) {
          throw Error(ErrorCode::BadInput, "that is not UTF-8");
        }
        if (said.starts_with('/')) {
          obey(said);
        } else if (!said.empty()) {
          answer({.question = std::string(said)}, turns_.size());
        }
      } catch (const Error& error) {
        if (error.code() == ErrorCode::Interrupted) throw;
        note(error.what());
        if (!error.hint().empty()) write_message(fmt::format("  hint: {}\n", printable(error.hint())));
      }
    }
  }

 private:
  /// A question and what was answered.
  struct Turn {
    std::string question;
    std::string reply = {};                  ///< that the conversation goes on with
    std::vector<std::string> bad = {};       ///< replies before that one
    std::vector<std::string> compared = {};  ///< as the model is, guided; empty: one reply, or chosen
  };

  /// What can be said beside questions.
  struct Command {
    std::vector<std::string> names;
    std::string_view argument;
    std::string_view help;
    void (Chat::*obey)(const std::string& text);
  };

  static const std::vector<Command>& commands() {
    static const std::vector<Command> list{
        {{"/again"}, "", "another reply to the same question", &Chat::draw_again},
        {{"/bad"}, "", "the same, and the last reply was bad", &Chat::draw_better},
        {{"/good"}, "", "the last reply is better than those that were bad: kept as pairs", &Chat::keep_good},
        {{"/a"}, "", "of two replies, go on with A: it is better, kept as a pair", &Chat::choose_first},
        {{"/b"}, "", "the same with B", &Chat::choose_second},
        {{"/compare"},
         "",
         "two replies to each question from now on, as the model is and guided; again: one",
         &Chat::turn_comparison},
        {{"/scale"}, "NUMBER", "how strongly the head guides; 0: not at all", &Chat::set_scale},
        {{"/system"}, "TEXT", "the system message; the conversation begins anew", &Chat::set_system},
        {{"/seed"}, "NUMBER", "of the next reply", &Chat::set_seed},
        {{"/undo"}, "", "takes the last question back, then the one before it", &Chat::undo},
        {{"/clear"}, "", "the conversation begins anew", &Chat::clear},
        {{"/help", "/?"}, "", "this list", &Chat::show_help},
        {{"/quit", "/exit", "/bye"},
         "",
         "ends (so does Ctrl-D; Ctrl-C ends the reply that is being written)",
         &Chat::end}};
    return list;
  }

  void note(const std::string& text) const { write_message(fmt::format("({})\n", printable(text))); }

  void require_head() const {
    if (!head_) throw Error(ErrorCode::BadUsage, "that needs a head", "use --head");
  }

  Turn& last_turn() {
    if (turns_.empty()) throw Error(ErrorCode::BadUsage, "there is no reply yet");
    return turns_.back();
  }

  /// The conversation up to and with a question behind the first turns.
  std::vector<Message> messages(std::size_t turns, const std::string& question) const {
    std::vector<Message> result;
    if (!command_.system.empty()) result.push_back({"system", command_.system});
    for (std::size_t i = 0; i < turns; ++i) {
      result.push_back({"user", turns_[i].question});
      result.push_back({"assistant", turns_[i].reply});
    }
    result.push_back({"user", question});
    return result;
  }

  void obey(std::string_view line) {
    const std::size_t space = line.find_first_of(" \t");
    const std::string word(line.substr(0, space));
    const std::string text(space == std::string_view::npos ? "" : trimmed(line.substr(space)));
    std::vector<std::string> names;
    for (const Command& command : commands()) {
      if (std::ranges::find(command.names, word) != command.names.end()) return (this->*command.obey)(text);
      names.insert(names.end(), command.names.begin(), command.names.end());
    }
    const std::vector<std::string> meant = nearest_names(word, names);
    throw Error(ErrorCode::BadUsage, fmt::format("there is no {}", quoted_text(word)),
                !meant.empty() ? fmt::format("did you mean {}?", meant.front()) : "/help lists what there is");
  }

  void draw_again(const std::string&) { answer(last_turn(), turns_.size() - 1); }

  void draw_better(const std::string&) {
    Turn turn = last_turn();
    turn.bad.push_back(turn.reply);
    answer(std::move(turn), turns_.size() - 1);
  }

  void keep_good(const std::string&) {
    Turn& turn = last_turn();
    keep_pairs(turn.reply, turn.bad);
    turn.bad.clear();
  }

  void choose_first(const std::string&) { choose(0); }
  void choose_second(const std::string&) { choose(1); }

  void turn_comparison(const std::string&) {
    require_head();
    compares_ = !compares_;
    note(compares_ ? "two replies: as the model is, and guided" : "one reply");
  }

  void set_scale(const std::string& text) {
    const auto scale = number<double>(text);
    require_head();
    if (!takes_scale(guidance_)) throw Error(ErrorCode::BadUsage, "this guidance has no scale");
    command_.generation.scale = scale;
    set_guidance(command_.generation, guidance_, *backbone_, *head_);
  }

  void set_system(const std::string& text) {
    command_.system = text;
    clear({});
  }

  void set_seed(const std::string& text) { seed_ = number<std::uint64_t>(text); }

  void undo(const std::string&) {
    last_turn();
    turns_.pop_back();
    note(turns_.empty() ? "the last question is taken back"
                        : fmt::format("the last question is taken back; the last one now: {}",
                                      quoted_text(turns_.back().question)));
  }

  void clear(const std::string&) {
    turns_.clear();
    note("the conversation begins anew");
  }

  void show_help(const std::string&) {
    std::string text;
    for (const Command& command : commands()) {
      const std::string names = fmt::format("{} {}", fmt::join(command.names, ", "), command.argument);
      text += fmt::format("{:<20}{}\n", names, command.help);
    }
    write_message(text);
  }

  void end(const std::string&) { ended_ = true; }

  template <class Number>
  static Number number(const std::string& text) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
      throw Error(ErrorCode::BadUsage, fmt::format("\"{}\" is no number that can be used here", text));
    }
    return value;
  }

  /// Writes a reply, or two, to a turn's question behind the first turns, in place of all later ones. A reply that
  /// fails leaves the conversation as it is.
  void answer(Turn turn, std::size_t before) {
    const std::vector<Message> prompt = messages(before, turn.question);
    turn.compared.clear();
    if (compares_) {
      print_text("A: ");
      turn.compared.push_back(written(prompt, /*guided=*/false));
      print_text("B: ");
      turn.compared.push_back(written(prompt, /*guided=*/true));
      show_beside(turn.compared[0], turn.compared[1]);
      turn.reply = turn.compared[1];
    } else {
      turn.reply = written(prompt, /*guided=*/true);
    }
    turns_.resize(before);
    turns_.push_back(std::move(turn));
    if (compares_ && !std::exchange(told_choice_, true)) {
      note("/a or /b: go on with that reply, and keep the choice as a pair");
    }
  }

  /// Both replies once more, beside each other, where there is a terminal that is wide enough.
  static void show_beside(const std::string& first, const std::string& second) {
    if (::isatty(STDOUT_FILENO) == 0) return;
    const std::size_t width = terminal_width(STDOUT_FILENO);
    if (width < kWide_columns) return;
    print_text(std::string(width - 1, '-') + "\n" + side_by_side("A\n" + first, "B\n" + second, width));
  }

  /// Draws a reply and prints it as it grows, where it is not chosen from several.
  std::string written(const std::vector<Message>& prompt, bool guided) {
    std::vector<PromptRecord> records{{"the conversation", {prompt, {}}}};
    const PromptForm form{mode_, command_.generation.thinking()};
    const std::vector<EncodedPrompt> prompts = encode_prompts(*backbone_, records, form, /*skip_bad=*/false);
    GenerationSettings settings = command_.generation.settings;
    settings.seed = seed_++;
    if (!guided) {
      settings.tilt = nullptr;
      settings.branch.reset();
      settings.continuations = 0;
      settings.replies = 1;
      settings.reward.reset();
    }
    const bool at_once = settings.replies == 1 && settings.continuations == 0;
    std::string shown;
    if (at_once) {
      settings.on_text = [&shown](std::string_view text) {
        shown += text;
        print_text(text);
      };
    }
    std::vector<Reply> replies;
    try {
      replies = drawn(prompts.front(), settings);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::Interrupted || !forgive_interrupt()) throw;
      print_text("\n");
      if (is_blank(shown)) throw Error(ErrorCode::BadUsage, "stopped before the first word");
      note("stopped; what there is of the reply stays");
      return shown;
    }
    const Reply& best = replies[best_of(replies)];
    print_text((at_once ? "" : best.text) + "\n");
    if (best.finish == Finish::Length) {
      note(fmt::format("cut at {} tokens; --max-tokens writes more", best.tokens.size()));
    }
    return best.text;
  }

  std::vector<Reply> drawn(const EncodedPrompt& prompt, const GenerationSettings& settings) {
    if (!conversation_) conversation_.emplace(*backbone_, threads_);
    return conversation_->write(prompt, settings);
  }

  void choose(std::size_t better) {
    Turn& turn = last_turn();
    if (turn.compared.empty()) throw Error(ErrorCode::BadUsage, "there are no two replies", "/compare draws them");
    keep_pairs(turn.compared[better], {turn.compared[1 - better]});
    turn.reply = turn.compared[better];
    turn.compared.clear();
  }

  /// Appends a pair of the last turn for each of the worse replies to --pairs.
  void keep_pairs(const std::string& chosen, const std::vector<std::string>& rejected) {
    // Read again each time: another conversation may have added to it.
    pairs_ = std::max(pairs_, pairs_file_.last_number(id_prefix()));
    std::vector<Pair> pairs;
    for (const std::string& worse : rejected) {
      if (worse == chosen || is_blank(worse) || is_blank(chosen)) continue;
      Pair pair;
      pair.id = fmt::format("{}{}", id_prefix(), pairs_ + pairs.size() + 1);
      pair.prompt.messages = messages(turns_.size() - 1, turns_.back().question);
      pair.chosen = chosen;
      pair.rejected = worse;
      pairs.push_back(std::move(pair));
    }
    if (pairs.empty()) {
      throw Error(ErrorCode::BadUsage, "there is no other reply that it is better than", "/bad draws one");
    }
    pairs_file_.append(pairs);
    pairs_ += pairs.size();
    note(fmt::format("{} kept in {}", pairs.size() == 1 ? "a pair" : fmt::format("{} pairs", pairs.size()),
                     command_.pairs));
  }

  std::string id_prefix() const { return fmt::format("chat-{}-", command_.common.seed); }

  ChatCommand& command_;
  PairFile pairs_file_;
  std::optional<Head> head_;
  Guidance guidance_ = Guidance::None;
  std::optional<Backbone> backbone_;
  std::optional<Conversation> conversation_;
  TemplateMode mode_ = TemplateMode::Model;
  int threads_ = 1;
  std::uint64_t seed_ = 0;
  std::size_t pairs_ = 0;
  bool compares_ = false;
  bool told_choice_ = false;  ///< what is done with two replies
  bool ended_ = false;
  std::vector<Turn> turns_;
};

}  // namespace

void add_chat_command(CLI::App& app) {
  auto options = std::make_shared<ChatCommand>();
  CLI::App& command =
      *app.add_subcommand("chat", "talk to a model, guided by a head or not, and say which replies are good");
  add_model_options(command, options->model, /*required=*/true);
  command.add_option("--head", options->head, "head file that guides")->type_name(kInput);
  command.add_flag("--allow-unbound", options->allow_unbound, "accept a head that does not say which model it is for");
  command.add_option("--system", options->system, "the system message");
  command.add_option("--pairs", options->pairs, "JSON lines to which /good, /a and /b add pairs, for coala align")
      ->type_name(kOutput)
      ->capture_default_str();
  command.add_flag("--compare", options->compares, "two replies to each question: as the model is, and guided");
  add_generation_options(command, options->generation);
  add_common_options(command, options->common);
  command.callback([options, &command] {
    set_quiet(options->common.quiet);
    Chat(*options, command).run();
  });
}

}  // namespace coala
