#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "serve/metrics.h"
#include "serve/outcome.h"
#include "serve/request_parser.h"
#include "serve/scheduler.h"
#include "serve/watch.h"

namespace coala {

/// JSON as it is sent: UTF-8, whatever is in it.
std::string dumped(const nlohmann::ordered_json& json);

/// A request for completions that is being written, and how its answer looks.
class Completion {
 public:
  /// What a completion needs of the server.
  struct Place {
    const Tokenizer& tokenizer;
    Scheduler& scheduler;
    Metrics& metrics;
  };

  /// @param number    of the request, for its id
  /// @param warnings  part of the answer
  /// @throws RequestError, Error{Interrupted}: what Scheduler::submit() throws
  Completion(Asked&& asked, bool chat, std::uint64_t number, std::vector<std::string> warnings, const Watch& watch,
             const Place& place);
  ~Completion();
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;

  bool streams() const { return asked_.streams; }

  /// The whole answer. @throws Error
  nlohmann::ordered_json whole();

  /// Writes the next events of a stream. An error is an event, and the last. @return  false: the client is gone
  bool write_some(httplib::DataSink& sink);

 private:
  using Json = nlohmann::ordered_json;
  void cancel();
  std::optional<Outcome::Event> next();
  void count(std::size_t choice, const Reply& reply);
  Json logprobs(std::span<const DrawnToken> tokens) const;
  Json chat_logprobs(std::span<const DrawnToken> tokens) const;
  Json extension() const;
  Json head(const char* object) const;
  Json usage() const;
  Json chunk(std::size_t index, const Json& delta, const char* finish);
  bool write_next(httplib::DataSink& sink);
  bool send_last(httplib::DataSink& sink, std::size_t choice, const Reply& reply);

  Asked asked_;
  bool chat_;
  std::vector<std::string> warnings_;
  Watch watch_;
  Place place_;
  std::shared_ptr<Outcome> outcome_ = std::make_shared<Outcome>();
  std::vector<Scheduler::Ticket> tickets_;
  std::vector<std::optional<Watch::Clock::time_point>> first_text_;  ///< of the choices
  std::vector<std::vector<DrawnToken>> unsent_;  ///< tokens of the choices whose text is still to come
  std::int64_t created_ = std::time(nullptr);
  std::string id_;
  std::size_t open_ = 0;  ///< choices that are being written
  std::size_t written_ = 0;
  std::size_t new_prompt_tokens_ = 0;  ///< that are not in the metrics yet
  bool begun_ = false;
};

}  // namespace coala
