#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api_lm/request.h"
#include "decode/engine.h"

namespace coala::v1 {

/// An engine for requests whose streams may say stop, and which own what their settings point to.
class RequestEngine {
 public:
  using OnText = std::function<bool(std::string_view)>;
  using OnDone = std::function<void(std::vector<Reply>&&)>;
  using OnFailure = std::function<void(const Error&)>;

  RequestEngine(const Backbone& backbone, const EngineOptions& options) : engine_(backbone, options) {}

  coala::Engine::Ticket submit(std::shared_ptr<PreparedRequest> request, OnText on_text, OnDone on_done,
                               OnFailure on_failure);
  bool step();
  void cancel(coala::Engine::Ticket ticket);
  std::size_t waiting() const { return engine_.waiting(); }
  std::size_t writing() const { return engine_.writing(); }

 private:
  struct Job {
    std::shared_ptr<PreparedRequest> request;
    OnText on_text;
    OnDone on_done;
    OnFailure on_failure;
    std::string text;      ///< that on_text was told
    bool stopped = false;  ///< on_text has said so
    bool ended = false;    ///< nothing more comes of it
  };
  void end_stopped();

  std::map<coala::Engine::Ticket, std::shared_ptr<Job>> jobs_;  ///< what the engine's requests point to: it goes first
  coala::Engine engine_;
};

}  // namespace coala::v1
