#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/check_options.h"
#include "cli/command.h"
#include "cli/generation_options.h"
#include "cli/model_features.h"
#include "cli/prompts.h"
#include "cli/reply_output.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/messages.h"
#include "core/progress.h"
#include "core/utf8.h"
#include "data/writer.h"
#include "decode/conversation.h"

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

constexpr const char* kHelp =
    "/again           another reply to the same question\n"
    "/bad             the same, and the last reply was bad\n"
    "/good            the last reply is better than those that were bad: kept as pairs\n"
    "/a, /b           of two replies, go on with this one: it is better, kept as a pair\n"
    "/compare         two replies to each question from now on, as the model is and guided; again: one\n"
    "/scale NUMBER    how strongly the head guides; 0: not at all\n"
    "/system TEXT     the system message; the conversation begins anew\n"
    "/seed NUMBER     of the next reply\n"
    "/undo            takes the last question back\n"
    "/quit            ends (so does Ctrl-D; Ctrl-C ends the reply that is being written)\n";

/// A conversation with a model, and what its user says of the replies.
class Chat {
 public:
  Chat(ChatCommand& command, const CLI::App& app) : command_(command) {
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
    begin();
  }

  void run() {
    const bool asks = ::isatty(STDIN_FILENO) != 0;
    if (asks) write_message("a conversation; /help lists what else can be said\n");
    for (std::string line;;) {
      if (asks) write_message("> ");
      if (!std::getline(std::cin, line)) break;
      throw_if_interrupted();
      const std::string_view said = trimmed(line);
      if (said == "/quit") break;
      try {
        if (find_invalid_utf8(said) != std::string_view::npos) {
          throw Error(ErrorCode::BadInput, "that is not UTF-8");
        }
        if (said.starts_with('/')) {
          obey(said);
        } else if (!said.empty()) {
          ask(std::string(said));
        }
      } catch (const Error& error) {
        if (error.code() == ErrorCode::Interrupted) throw;
        note(error.what());
      }
    }
  }

 private:
  /// The replies to the last question; the last of them is part of the conversation.
  struct Turn {
    std::vector<std::string> bad;
    std::vector<std::string> compared;  ///< as the model is, guided; empty: one reply
  };

  void note(const std::string& text) const { write_message(fmt::format("({})\n", printable(text))); }

  void require_head() const {
    if (!head_) throw Error(ErrorCode::BadUsage, "that needs a head", "use --head");
  }

  void begin() {
    messages_.clear();
    turn_.reset();
    if (!command_.system.empty()) messages_.push_back({"system", command_.system});
  }

  void require_reply() const {
    if (!turn_) throw Error(ErrorCode::BadUsage, "there is no reply yet");
  }

  void obey(std::string_view line) {
    const std::size_t space = line.find(' ');
    const std::string_view word = line.substr(0, space);
    const std::string text(space == std::string_view::npos ? "" : trimmed(line.substr(space)));
    if (word == "/help") {
      write_message(kHelp);
    } else if (word == "/again" || word == "/bad") {
      require_reply();
      if (word == "/bad") turn_->bad.push_back(messages_.back().content);
      messages_.pop_back();
      reply();
    } else if (word == "/good") {
      require_reply();
      keep_pairs(messages_.back().content, turn_->bad);
      turn_->bad.clear();
    } else if (word == "/a" || word == "/b") {
      choose(word == "/b");
    } else if (word == "/compare") {
      require_head();
      compares_ = !compares_;
      note(compares_ ? "two replies: as the model is, and guided" : "one reply");
    } else if (word == "/scale") {
      set_scale(number<double>(text));
    } else if (word == "/seed") {
      seed_ = number<std::uint64_t>(text);
    } else if (word == "/system") {
      command_.system = text;
      begin();
      note("the conversation begins anew");
    } else if (word == "/undo") {
      require_reply();
      messages_.resize(messages_.size() - 2);
      turn_.reset();
      note("the last question is taken back");
    } else {
      throw Error(ErrorCode::BadUsage, fmt::format("there is no {}; /help lists what there is", word));
    }
  }

  template <class Number>
  static Number number(const std::string& text) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
      throw Error(ErrorCode::BadUsage, fmt::format("\"{}\" is no number that can be used here", text));
    }
    return value;
  }

  void set_scale(double scale) {
    require_head();
    if (!takes_scale(guidance_)) throw Error(ErrorCode::BadUsage, "this guidance has no scale");
    command_.generation.scale = scale;
    set_guidance(command_.generation, guidance_, *backbone_, *head_);
  }

  void ask(std::string question) {
    messages_.push_back({"user", std::move(question)});
    turn_.emplace();
    try {
      reply();
    } catch (...) {
      messages_.pop_back();
      turn_.reset();
      throw;
    }
  }

  /// Writes a reply, or two, to what the conversation ends with.
  void reply() {
    if (!compares_) {
      messages_.push_back({"assistant", written(/*guided=*/true)});
      return;
    }
    turn_->compared.clear();
    print_text("A: ");
    turn_->compared.push_back(written(/*guided=*/false));
    print_text("B: ");
    turn_->compared.push_back(written(/*guided=*/true));
    messages_.push_back({"assistant", turn_->compared.back()});
  }

  /// Draws a reply and prints it as it grows, where it is not chosen from several.
  std::string written(bool guided) {
    std::vector<PromptRecord> records{{"the conversation", {messages_, {}}}};
    const PromptForm form{mode_, command_.generation.thinking()};
    const std::vector<EncodedPrompt> prompts = encode_prompts(*backbone_, records, form, /*skip_bad=*/false);
    GenerationSettings settings = command_.generation.settings;
    settings.seed = seed_++;
    if (!guided) {
      settings.tilt = nullptr;
      settings.branch.reset();
      settings.sentence_candidates = 0;
      settings.candidates = 1;
      settings.reward.reset();
    }
    const bool at_once = settings.candidates == 1 && settings.sentence_candidates == 0;
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

  void choose(bool second) {
    require_reply();
    if (turn_->compared.empty()) throw Error(ErrorCode::BadUsage, "there are no two replies; /compare draws them");
    const std::string& better = turn_->compared[second ? 1 : 0];
    keep_pairs(better, {turn_->compared[second ? 0 : 1]});
    messages_.back().content = better;
    turn_->compared.clear();
  }

  /// Appends a pair for each of the worse replies to --pairs.
  void keep_pairs(const std::string& chosen, const std::vector<std::string>& rejected) {
    std::string lines;
    std::size_t count = 0;
    for (const std::string& worse : rejected) {
      if (worse == chosen || is_blank(worse) || is_blank(chosen)) continue;
      Pair pair;
      pair.id = fmt::format("chat-{}-{}", command_.common.seed, ++pairs_);
      pair.prompt.messages.assign(messages_.begin(), messages_.end() - 1);
      pair.chosen = chosen;
      pair.rejected = worse;
      lines += to_json_line(pair) + "\n";
      ++count;
    }
    if (count == 0) throw Error(ErrorCode::BadUsage, "there is no other reply that it is better than; /bad draws one");
    std::ofstream file(command_.pairs, std::ios::app | std::ios::binary);
    if (!(file << lines << std::flush)) {
      throw Error(ErrorCode::Io, fmt::format("cannot write to {}", command_.pairs));
    }
    note(fmt::format("{} kept in {}", count == 1 ? "a pair" : fmt::format("{} pairs", count), command_.pairs));
  }

  ChatCommand& command_;
  std::optional<Head> head_;
  Guidance guidance_ = Guidance::None;
  std::optional<Backbone> backbone_;
  std::optional<Conversation> conversation_;
  TemplateMode mode_ = TemplateMode::Model;
  int threads_ = 1;
  std::uint64_t seed_ = 0;
  std::size_t pairs_ = 0;
  bool compares_ = false;
  std::vector<Message> messages_;
  std::optional<Turn> turn_;  ///< nothing before the first question, and after one is taken back
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
