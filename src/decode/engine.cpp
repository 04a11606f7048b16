#include "decode/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "decode/prompt_opener.h"
#include "decode/reply_stream.h"

namespace coala {
namespace {

// Sequences of the session: the prompt that is being opened, then the replies.
constexpr int kPromptSequence = 0;
constexpr int kFirstReply = 1;

SessionOptions session_options(const EngineOptions& options) {
  return {kFirstReply + options.streams, options.cells, options.threads};
}

const EngineOptions& checked(const EngineOptions& options) {
  if (options.streams < 1 || options.prompt_rows < 1) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("an engine of {} streams and {} rows of prompts is asked for; expected 1 or more",
                            options.streams, options.prompt_rows));
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
  std::optional<PromptOpener> opener;
  std::vector<Reply> replies;
  std::size_t begun = 0;    ///< candidates
  std::size_t missing = 0;  ///< those that are not written yet; 0: nothing more comes of it

  bool is_all_begun() const { return begun == static_cast<std::size_t>(request.settings.candidates); }
};

/// A reply that is being written.
struct Engine::Writing {
  int sequence = 0;
  std::shared_ptr<Job> job;
  std::size_t candidate = 0;
  std::unique_ptr<ReplyStream> stream;
};

Engine::Engine(const Backbone& backbone, const EngineOptions& options)
    : backbone_(backbone), options_(checked(options)), session_(backbone, session_options(options)) {
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
  if (request.settings.is_solo()) {
    throw Error(ErrorCode::BadUsage, "an engine writes without branch guidance and choice of sentences",
                "use another guidance");
  }
  auto job = std::make_shared<Job>();
  job->ticket = ++last_ticket_;
  job->replies.resize(static_cast<std::size_t>(request.settings.candidates));
  job->missing = job->replies.size();
  job->request = std::move(request);
  queue_.push_back(std::move(job));
  return last_ticket_;
}

void Engine::clear() {
  for (const std::shared_ptr<Job>& job : queue_) job->missing = 0;
  for (const Writing& writing : active_) writing.job->missing = 0;
  for (const std::shared_ptr<Job>& job : ending_) job->missing = 0;
  queue_.clear();
  active_.clear();
  opened_.reset();
  kept_.clear();
  session_.clear();
  free_sequences_.clear();
  for (int sequence = kFirstReply + options_.streams - 1; sequence >= kFirstReply; --sequence) {
    free_sequences_.push_back(sequence);
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
    session_.drop(writing.sequence);
    free_sequences_.push_back(writing.sequence);
    return true;
  });
  if (opened_.get() == &job) close_prompt();
}

void Engine::close_prompt() {
  session_.drop(kPromptSequence);
  opened_.reset();
  kept_.clear();
}

std::size_t Engine::most_reply_tokens(const Job& job) const {
  const std::size_t room = backbone_.identity().context_tokens - job.request.prompt.tokens.size();
  return std::min(job.request.settings.max_tokens, room);
}

/// Tokens that requests may still need: those of their prompts, and of their replies when they are as long as they may
/// become. A prompt whose replies have all ended stays for as long as nobody wants its place.
std::size_t Engine::held_cells() const {
  std::set<const Job*> jobs;
  std::size_t cells = 0;
  for (const Writing& writing : active_) {
    jobs.insert(writing.job.get());
    cells += most_reply_tokens(*writing.job);
  }
  if (opened_ && !opened_->is_all_begun()) jobs.insert(opened_.get());
  for (const Job* job : jobs) cells += job->request.prompt.tokens.size();
  return cells;
}

/// How many of the first tokens of a job's prompt the prompts' sequence holds.
std::size_t Engine::known_tokens(const Job& job) const {
  const std::vector<Token>& prompt = job.request.prompt.tokens;
  if (prompt.empty() || job.request.settings.needs_prompt_states()) return 0;
  const auto end = std::mismatch(kept_.begin(), kept_.end(), prompt.begin(), prompt.end() - 1).first;
  const auto known = static_cast<std::size_t>(end - kept_.begin());
  // Nothing can be taken from a recurrent state.
  return known == kept_.size() || session_.can_truncate() ? known : 0;
}

/// Opens the next request's prompt, or refuses it.
/// @return  whether there was room for it
bool Engine::begin_next() {
  const std::shared_ptr<Job> job = queue_.front();
  try {
    job->opener.emplace(backbone_, job->request.settings, job->request.prompt);
    const std::size_t wanted = job->request.prompt.tokens.size() + most_reply_tokens(*job);
    if (held_cells() + wanted > options_.cells) {
      if (!active_.empty()) return false;
      throw Error(
          ErrorCode::BadInput,
          fmt::format("the prompt and its reply may take {} tokens; there is room for {}", wanted, options_.cells),
          "shorten the prompt, or ask for fewer tokens");
    }
  } catch (const Error& error) {
    queue_.pop_front();
    fail(job, error);
    return true;
  }
  queue_.pop_front();
  if (const std::size_t known = known_tokens(*job); known > 0) {
    session_.truncate(kPromptSequence, known);
    job->opener->skip(known);
  }
  kept_.clear();
  opened_ = job;
  return true;
}

/// Begins the next candidate of the prompt that is open.
/// @return  whether there was room for it
bool Engine::begin_reply() {
  const std::shared_ptr<Job> job = opened_;
  if (!active_.empty() && held_cells() + most_reply_tokens(*job) > options_.cells) return false;
  const std::size_t candidate = job->begun++;
  Writing writing{free_sequences_.back(), job, candidate, nullptr};
  try {
    writing.stream = std::make_unique<ReplyStream>(backbone_, job->request.settings, job->request.prompt,
                                                   static_cast<int>(candidate), job->opener->feature());
    drawer_.draw(*writing.stream, job->opener->next().view(), job->request.settings.tilt, session_.threads());
  } catch (const Error& error) {
    if (concerns_all(error)) throw;
    fail(job, error);
    return true;
  }
  if (options_.keeps_last && job->is_all_begun()) kept_ = job->request.prompt.tokens;
  if (!writing.stream->waits()) {
    end(writing);
    return true;
  }
  session_.fork(kPromptSequence, writing.sequence);
  free_sequences_.pop_back();
  active_.push_back(std::move(writing));
  return true;
}

/// Fills the free streams, with at most prompt_rows tokens of prompts.
void Engine::open_prompts() {
  std::size_t rows = options_.prompt_rows;
  while (!free_sequences_.empty()) {
    if (!opened_ || opened_->is_all_begun()) {
      if (queue_.empty() || !begin_next()) return;
      continue;
    }
    if (opened_->opener->ready()) {
      if (!begin_reply()) return;
      continue;
    }
    if (rows == 0) return;
    try {
      rows -= opened_->opener->advance(session_, kPromptSequence, rows);
    } catch (const Error& error) {
      if (concerns_all(error)) throw;
      fail(std::shared_ptr<Job>(opened_), error);
    }
  }
}

void Engine::step_replies() {
  std::vector<Session::Row> rows;
  for (const Writing& writing : active_) rows.push_back({writing.sequence, writing.stream->last()});
  const std::span<const Session::Output> outputs = session_.step(rows);
  std::vector<std::pair<std::shared_ptr<Job>, Error>> failures;
  for (std::size_t i = 0; i < active_.size(); ++i) {
    ReplyStream& stream = *active_[i].stream;
    try {
      stream.evaluated(outputs[i].state);
      if (!stream.finished()) {
        drawer_.draw(stream, outputs[i], active_[i].job->request.settings.tilt, session_.threads());
      }
    } catch (const Error& error) {
      if (concerns_all(error)) throw;
      failures.emplace_back(active_[i].job, error);
    }
  }
  std::vector<Writing> ended;
  std::vector<Writing> going;
  for (Writing& writing : active_) (writing.stream->waits() ? going : ended).push_back(std::move(writing));
  active_ = std::move(going);
  for (const Writing& writing : ended) {
    if (options_.keeps_last) keep(writing);
    session_.drop(writing.sequence);
    free_sequences_.push_back(writing.sequence);
    ending_.push_back(writing.job);
  }
  for (const auto& [job, error] : failures) ending_.push_back(job);
  // Callbacks may cancel each other's requests: whose missing is 0 then, nothing more is said of it.
  for (const auto& [job, error] : failures) fail(job, error);
  for (const Writing& writing : ended) end(writing);
  ending_.clear();
}

/// A reply that has ended becomes what the prompts' sequence holds, where that would stay there anyway.
void Engine::keep(const Writing& writing) {
  if (writing.job != opened_ || !opened_->is_all_begun()) return;
  std::vector<Token> text = writing.job->request.prompt.tokens;
  const std::span<const Token> reply = writing.stream->tokens();
  text.insert(text.end(), reply.begin(), reply.end());
  // The last token may not be evaluated, and some may have gone with a stop string; these the next prompt takes out.
  const std::size_t evaluated = session_.length_tokens(writing.sequence);
  if (evaluated > text.size() && !session_.can_truncate()) return;
  text.resize(std::min(text.size(), evaluated));
  session_.fork(writing.sequence, kPromptSequence);
  kept_ = std::move(text);
}

bool Engine::step() {
  open_prompts();
  if (!active_.empty()) step_replies();
  return !active_.empty() || !queue_.empty() || (opened_ && !opened_->is_all_begun());
}

/// Takes a reply that has ended to its request.
void Engine::end(const Writing& writing) {
  Job& job = *writing.job;
  if (job.missing == 0) return;
  try {
    job.replies[writing.candidate] = writing.stream->finish();
  } catch (const Error& error) {
    if (concerns_all(error)) throw;
    fail(writing.job, error);
    return;
  }
  if (--job.missing == 0 && job.request.on_done) job.request.on_done(std::move(job.replies));
}

void Engine::fail(const std::shared_ptr<Job>& job, const Error& error) {
  if (job->missing == 0) return;  // it was cancelled, or another of its replies has failed
  job->missing = 0;
  forget(*job);
  if (job->request.on_failure) job->request.on_failure(error);
}

}  // namespace coala
