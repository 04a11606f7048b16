#include "api_lm/request_engine.h"

#include <utility>

namespace coala::v1 {

coala::Engine::Ticket RequestEngine::submit(std::shared_ptr<PreparedRequest> request, OnText on_text, OnDone on_done,
                                            OnFailure on_failure) {
  auto job = std::make_shared<Job>();
  coala::Request inner{request->prompt, request->settings, {}, {}};
  job->request = std::move(request);
  job->on_text = std::move(on_text);
  job->on_done = std::move(on_done);
  job->on_failure = std::move(on_failure);
  // The engine's copies of these live no longer than jobs_ has the job.
  Job* const own = job.get();
  if (own->on_text) {
    inner.settings.on_text = [own](std::string_view text) {
      if (own->stopped) return;
      own->text += text;
      own->stopped = !own->on_text(text);
    };
  }
  inner.on_done = [own](std::vector<coala::Reply>&& written) {
    own->ended = true;
    std::vector<Reply> replies = chosen_replies(*own->request, std::move(written));
    if (own->stopped) replies.front() = {.text = own->text, .finish = Finish::Stopped};
    if (own->on_done) own->on_done(std::move(replies));
  };
  inner.on_failure = [own](const Error& error) {
    own->ended = true;
    if (own->on_failure) own->on_failure(error);
  };
  const coala::Engine::Ticket ticket = engine_.submit(std::move(inner));
  jobs_.emplace(ticket, std::move(job));
  return ticket;
}

/// Ends the requests whose streams have said stop.
void RequestEngine::end_stopped() {
  std::vector<std::pair<coala::Engine::Ticket, std::shared_ptr<Job>>> stopped;
  for (const auto& [ticket, job] : jobs_) {
    if (job->stopped && !job->ended) stopped.emplace_back(ticket, job);
  }
  for (const auto& [ticket, job] : stopped) {
    if (job->ended) continue;  // by a callback of the one before
    engine_.cancel(ticket);
    job->ended = true;
    if (job->on_done) job->on_done({Reply{.text = job->text, .finish = Finish::Stopped}});
  }
}

bool RequestEngine::step() {
  try {
    engine_.step();
    end_stopped();
  } catch (...) {
    engine_.clear();
    jobs_.clear();
    throw;
  }
  std::erase_if(jobs_, [](const auto& entry) { return entry.second->ended; });
  return !jobs_.empty();
}

void RequestEngine::cancel(coala::Engine::Ticket ticket) {
  engine_.cancel(ticket);
  // What the engine is about to leave stays until the step is over.
  if (const auto found = jobs_.find(ticket); found != jobs_.end()) found->second->ended = true;
}

}  // namespace coala::v1
