#include "decode/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "decode/guide_kinds.h"
#include "decode/prompt_opener.h"
#include "decode/reply_stream.h"

namespace coala {
namespace {

// Sequences of the session: those of prompts, of replies, and of their branches.
int first_reply(const EngineOptions& options) {
  return std::max(1, options.kept_texts);
}

int first_branch(const EngineOptions& options) {
  return first_reply(options) + options.streams;
}

SessionOptions session_options(const EngineOptions& options) {
  return {first_branch(options) + options.branches, options.cells, options.threads};
}

const EngineOptions& checked(const EngineOptions& options) {
  if (options.streams < 1 || options.prompt_rows < 1) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("an engine of {} streams and {} rows of prompts is asked for; expected 1 or more",
                            options.streams, options.prompt_rows));
  }
  if (options.branches < 0 || options.kept_texts < 0) {
    throw Error(ErrorCode::BadUsage, fmt::format("an engine of {} branches and {} kept texts is asked for",
                                                 options.branches, options.kept_texts));
  }
  return options;
}

/// These are not a request's own: they end the work of all.
bool concerns_all(const Error& error) {
  return error.code() == ErrorCode::Interrupted || error.code() == ErrorCode::OutOfMemory;
}

}  // namespace

/// A request that was begun or waits.
struct Engine::Job {
  Ticket ticket = 0;
  Request request;
  const GuideKind* kind = nullptr;
  int prompt_sequence = 0;  ///< once it was begun
  std::optional<PromptOpener> opener;
  std::vector<Reply> replies;
  std::size_t begun = 0;    ///< replies
  std::size_t missing = 0;  ///< those that are not written yet; 0: nothing more comes of it

  bool is_all_begun() const { return begun == static_cast<std::size_t>(request.settings.replies); }
};

/// A reply that is being written.
struct Engine::Writing {
  int sequence = 0;
  std::vector<int> branches;
  std::shared_ptr<Job> job;
  std::size_t candidate = 0;
  std::unique_ptr<Guide> guide;
};

Engine::Engine(const Backbone& backbone, const EngineOptions& options)
    : backbone_(backbone),
      options_(checked(options)),
      session_(backbone, session_options(options)),
      prompts_(session_, 0, first_reply(options)) {
  clear();
}

Engine::~Engine() = default;

std::size_t Engine::writing() const {
  return active_.size();
}

std::size_t Engine::context_bytes(const Backbone& backbone, const EngineOptions& options) {
  return Session::context_bytes(backbone, session_options(options));
}

Engine::Ticket Engine::submit(Request request) {
  request.settings.validate();
  const GuideKind& kind = guide_kind(request.settings);
  const int branches = kind.branches(backbone_, request.settings);
  if (branches > options_.branches) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("the guidance needs {} branches; the engine has {}", branches, options_.branches),
                "ask for fewer candidates");
  }
  auto job = std::make_shared<Job>();
  job->ticket = ++last_ticket_;
  job->kind = &kind;
  job->replies.resize(static_cast<std::size_t>(request.settings.replies));
  job->missing = job->replies.size();
  job->request = std::move(request);
  queue_.push_back(std::move(job));
  return last_ticket_;
}

void Engine::clear() {
  for (const std::shared_ptr<Job>& job : queue_) job->missing = 0;
  for (const Writing& writing : active_) writing.job->missing = 0;
  for (const std::shared_ptr<Job>& job : ending_) job->missing = 0;
  ending_.clear();
  queue_.clear();
  active_.clear();
  opened_.reset();
  session_.clear();
  prompts_.clear();
  free_streams_.clear();
  free_branches_.clear();
  const SessionOptions all = session_options(options_);
  for (int sequence = all.sequences - 1; sequence >= first_reply(options_); --sequence) {
    (sequence < first_branch(options_) ? free_streams_ : free_branches_).push_back(sequence);
  }
}

void Engine::cancel(Ticket ticket) {
  std::shared_ptr<Job> found;
  const auto look_at = [&](const std::shared_ptr<Job>& job) {
    if (job && job->ticket == ticket && job->missing > 0) found = job;
  };
  for (const std::shared_ptr<Job>& job : queue_) look_at(job);
  for (const Writing& writing : active_) look_at(writing.job);
  for (const std::shared_ptr<Job>& job : ending_) look_at(job);
  look_at(opened_);
  if (!found) return;
  found->missing = 0;
  std::erase(queue_, found);
  forget(*found);
}

/// Takes its sequences from a job.
void Engine::forget(const Job& job) {
  std::erase_if(active_, [&](const Writing& writing) {
    if (writing.job.get() != &job) return false;
    release(writing);
    return true;
  });
  prompts_.drop(job.ticket);
  if (opened_.get() == &job) opened_.reset();
}

/// Its sequences are free again.
void Engine::release(const Writing& writing) {
  session_.drop(writing.sequence);
  free_streams_.push_back(writing.sequence);
  for (const int branch : writing.branches) {
    session_.drop(branch);
    free_branches_.push_back(branch);
  }
}

/// Tokens that a reply may need when it is as long as it may become.
std::size_t Engine::cells_of_reply(const Job& job) const {
  const GenerationSettings& settings = job.request.settings;
  const std::size_t room = backbone_.identity().context_tokens - job.request.prompt.tokens.size();
  const std::size_t tokens = std::min(settings.max_tokens, room);
  return tokens + job.kind->branch_tokens(backbone_, settings, tokens);
}

/// Tokens that requests may still need: those of their prompts, and of their replies. A prompt whose replies have all
/// ended stays for as long as nobody wants its place.
std::size_t Engine::held_cells() const {
  std::set<const Job*> jobs;
  std::size_t cells = 0;
  for (const Writing& writing : active_) {
    jobs.insert(writing.job.get());
    cells += cells_of_reply(*writing.job);
  }
  if (opened_) jobs.insert(opened_.get());
  for (const Job* job : jobs) cells += job->request.prompt.tokens.size();
  return cells;
}

/// Opens the next request's prompt, or refuses it.
/// @return  whether there was room for it
bool Engine::begin_next() {
  const std::shared_ptr<Job> job = queue_.front();
  const std::vector<Token>& prompt = job->request.prompt.tokens;
  std::size_t spare = 0;
  try {
    job->opener.emplace(backbone_, job->request.settings, job->request.prompt);
    const std::size_t wanted = prompt.size() + cells_of_reply(*job);
    const std::size_t held = held_cells();
    if (wanted <= options_.cells && held + wanted > options_.cells) return false;
    if (wanted > options_.cells) {
      throw Error(
          ErrorCode::BadInput,
          fmt::format("the prompt and its reply may take {} tokens; there is room for {}", wanted, options_.cells),
          "shorten the prompt, or ask for fewer tokens");
    }
    spare = options_.cells - held - wanted;
  } catch (const Error& error) {
    queue_.pop_front();
    fail(job, error);
    return true;
  }
  queue_.pop_front();
  const bool shares = options_.kept_texts > 0 && !job->request.settings.needs_prompt_states();
  const PrefixCache::Place place = prompts_.open(job->ticket, prompt, shares, spare);
  job->prompt_sequence = place.sequence;
  if (place.known_tokens > 0) job->opener->skip(place.known_tokens);
  opened_ = job;
  return true;
}

bool Engine::has_sequences_for(const Job& job) const {
  const auto branches = static_cast<std::size_t>(job.kind->branches(backbone_, job.request.settings));
  return !free_streams_.empty() && free_branches_.size() >= branches;
}

/// Gives the job's next candidate sequences, and its prompt.
Engine::Writing& Engine::place_reply(const std::shared_ptr<Job>& job) {
  const auto take = [](std::vector<int>& free) {
    const int sequence = free.back();
    free.pop_back();
    return sequence;
  };
  Writing& writing = active_.emplace_back();
  writing.job = job;
  writing.candidate = job->begun++;
  writing.sequence = take(free_streams_);
  for (int i = job->kind->branches(backbone_, job->request.settings); i > 0; --i) {
    writing.branches.push_back(take(free_branches_));
  }
  session_.fork(job->prompt_sequence, writing.sequence);
  return writing;
}

/// Begins the next candidate of the prompt that is open.
/// @return  whether there was room for it
bool Engine::begin_reply() {
  const std::shared_ptr<Job> job = opened_;
  if (!has_sequences_for(*job)) return false;
  const std::size_t held = held_cells();
  const std::size_t wanted = cells_of_reply(*job);
  if (!active_.empty() && held + wanted > options_.cells) return false;
  prompts_.shrink(options_.cells - std::min(options_.cells, held + wanted));
  Writing& writing = place_reply(job);
  if (job->is_all_begun()) opened_.reset();
  try {
    auto stream = std::make_unique<ReplyStream>(backbone_, job->request.settings, job->request.prompt,
                                                static_cast<int>(writing.candidate), job->opener->feature());
    writing.guide = job->kind->make(
        {backbone_, session_, drawer_, job->request.settings, std::move(stream), writing.sequence, writing.branches});
    writing.guide->begin(job->opener->next().view());
  } catch (const Error& error) {
    if (concerns_all(error)) throw;
    fail(job, error);
    return true;
  }
  if (writing.guide->is_done()) {
    const Writing ended = std::move(active_.back());
    active_.pop_back();
    release(ended);
    end(ended);
  }
  return true;
}

/// Fills the free streams, with at most prompt_rows tokens of prompts.
void Engine::open_prompts() {
  std::size_t rows = options_.prompt_rows;
  while (!free_streams_.empty()) {
    if (!opened_) {
      if (queue_.empty() || !begin_next()) return;
      continue;
    }
    const std::shared_ptr<Job> job = opened_;
    if (job->opener->ready()) {
      if (!begin_reply()) return;
      continue;
    }
    if (rows == 0) return;
    try {
      rows -= job->opener->advance(session_, job->prompt_sequence, rows);
      const bool keeps = options_.kept_texts > 0 && job->opener->ready();
      if (keeps) prompts_.set_text(job->prompt_sequence, job->ticket, job->request.prompt.tokens);
    } catch (const Error& error) {
      if (concerns_all(error)) throw;
      fail(job, error);
    }
  }
}

void Engine::step_replies() {
  std::vector<Session::Row> rows;
  std::vector<std::size_t> ends;  // of each reply's rows
  for (const Writing& writing : active_) {
    writing.guide->prepare(rows);
    ends.push_back(rows.size());
  }
  const std::span<const Session::Output> outputs = session_.step(rows);
  std::vector<std::pair<std::shared_ptr<Job>, Error>> failures;
  for (std::size_t i = 0; i < active_.size(); ++i) {
    const std::size_t begin = i == 0 ? 0 : ends[i - 1];
    try {
      active_[i].guide->take(outputs.subspan(begin, ends[i] - begin));
    } catch (const Error& error) {
      if (concerns_all(error)) throw;
      failures.emplace_back(active_[i].job, error);
    }
  }
  std::vector<Writing> ended;
  std::vector<Writing> going;
  for (Writing& writing : active_) (writing.guide->is_done() ? ended : going).push_back(std::move(writing));
  active_ = std::move(going);
  for (const Writing& writing : ended) {
    if (options_.kept_texts > 0) keep(writing);
    release(writing);
    ending_.push_back(writing.job);
  }
  for (const auto& [job, error] : failures) ending_.push_back(job);
  // Callbacks may cancel each other's requests: whose missing is 0 then, nothing more is said of it.
  for (const auto& [job, error] : failures) fail(job, error);
  for (const Writing& writing : ended) end(writing);
  ending_.clear();
}

/// A reply that has ended stays behind its prompt.
void Engine::keep(const Writing& writing) {
  const Job& job = *writing.job;
  // While others of its replies are written, the cells are counted by these.
  const bool is_last = std::ranges::none_of(active_, [&](const Writing& other) { return other.job == writing.job; });
  if (!job.is_all_begun() || !is_last) return;
  std::vector<Token> text = job.request.prompt.tokens;
  const std::span<const Token> reply = writing.guide->stream().tokens();
  text.insert(text.end(), reply.begin(), reply.end());
  // The last token may not be evaluated, and some may have gone with a stop string; these the next prompt takes out.
  const std::size_t evaluated = session_.length_tokens(writing.sequence);
  if (evaluated > text.size() && !session_.can_truncate()) return;
  text.resize(std::min(text.size(), evaluated));
  prompts_.extend(job.prompt_sequence, job.ticket, writing.sequence, text);
}

bool Engine::step() {
  open_prompts();
  if (!active_.empty()) step_replies();
  return !active_.empty() || !queue_.empty() || opened_;
}

/// Takes a reply that has ended to its request.
void Engine::end(const Writing& writing) {
  Job& job = *writing.job;
  if (job.missing == 0) return;
  try {
    job.replies[writing.candidate] = writing.guide->stream().finish();
  } catch (const Error& error) {
    if (concerns_all(error)) throw;
    fail(writing.job, error);
    return;
  }
  if (--job.missing > 0) return;
  prompts_.release(job.ticket);
  if (job.request.on_done) job.request.on_done(std::move(job.replies));
}

void Engine::fail(const std::shared_ptr<Job>& job, const Error& error) {
  if (job->missing == 0) return;  // it was cancelled, or another of its replies has failed
  job->missing = 0;
  forget(*job);
  if (job->request.on_failure) job->request.on_failure(error);
}

}  // namespace coala
