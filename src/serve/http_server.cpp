#include "serve/http_server.h"

#include <fmt/format.h>
#include <httplib.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/interrupt.h"
#include "serve/outcome.h"
#include "serve/request_parser.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLargestBody_bytes = std::size_t{8} << 20;
constexpr std::size_t kConnections = 64;
/// How often a connection that waits for a token looks whether its client is still there.
constexpr std::chrono::milliseconds kLook{200};
/// A server that has something to do and takes no step for so long is not well.
constexpr double kLongestStep_s = 120;

int status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::BadUsage:
    case ErrorCode::BadInput:
      return 400;
    case ErrorCode::Mismatch:
      return 404;
    case ErrorCode::OutOfMemory:
    case ErrorCode::Interrupted:
      return 503;
    case ErrorCode::CorruptFile:
    case ErrorCode::Io:
    case ErrorCode::NotBuilt:
    case ErrorCode::Internal:
      return 500;
  }
  return 500;
}

Json error_json(const Error& error) {
  const int status = status_of(error.code());
  const std::string message = error.hint().empty() ? error.what() : fmt::format("{} ({})", error.what(), error.hint());
  const char* type = status == 404 ? "not_found_error" : status < 500 ? "invalid_request_error" : "server_error";
  return {{"error", {{"message", message}, {"type", type}, {"param", nullptr}, {"code", status}}}};
}

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

void answer(httplib::Response& response, const Json& json, int status = 200) {
  response.status = status;
  response.set_content(dumped(json), "application/json");
}

const char* openai_name(Finish finish) {
  return finish == Finish::Stop ? "stop" : "length";
}

/// The requests of a client that are being written, and how their answer looks.
class Completion {
 public:
  Completion(Asked&& asked, bool chat, std::uint64_t number, Scheduler& scheduler)
      : asked_(std::move(asked)), chat_(chat), scheduler_(scheduler), outcome_(std::make_shared<Outcome>()) {
    id_ = fmt::format("{}-{}-{}", chat ? "chatcmpl" : "cmpl", created_, number);
    for (std::size_t i = 0; i < asked_.requests.size(); ++i) {
      Request request = std::move(asked_.requests[i]);
      const std::shared_ptr<Outcome> outcome = outcome_;
      // The tilt is what the settings point to, for as long as the request lives.
      const std::shared_ptr<const TiltMixture> tilt = asked_.tilt;
      if (asked_.streams) {
        request.settings.on_text = [outcome, i](std::string_view text) { outcome->put({i, std::string(text)}); };
      }
      request.on_done = [outcome, tilt, i](std::vector<Reply>&& replies) {
        outcome->put({i, std::move(replies.front())});
      };
      request.on_failure = [outcome, tilt, i](const Error& error) { outcome->put({i, error}); };
      try {
        tickets_.push_back(scheduler_.submit(std::move(request)));
      } catch (...) {
        cancel();
        throw;
      }
    }
    open_ = tickets_.size();
  }
  ~Completion() { cancel(); }
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;

  bool streams() const { return asked_.streams; }

  /// The whole answer. @throws Error
  Json whole() {
    std::vector<Json> choices(open_);
    while (open_ > 0) {
      std::optional<Outcome::Event> event = outcome_->next(kLook);
      if (!event) continue;
      if (const Error* error = std::get_if<Error>(&event->what)) throw Error(*error);
      const Reply& reply = std::get<Reply>(event->what);
      count(reply);
      Json& choice = choices[event->choice];
      choice["index"] = event->choice;
      if (chat_) {
        choice["message"] = {{"role", "assistant"}, {"content", reply.text}};
        if (!reply.reasoning.empty()) choice["message"]["reasoning_content"] = reply.reasoning;
      } else {
        choice["text"] = reply.text;
      }
      choice["logprobs"] = nullptr;
      choice["finish_reason"] = openai_name(reply.finish);
      --open_;
    }
    Json json = head(chat_ ? "chat.completion" : "text_completion");
    json["choices"] = choices;
    json["usage"] = usage();
    json["coala"] = {{"seed", asked_.seed}, {"heads", asked_.heads}};
    return json;
  }

  /// Writes the next events of a stream. @return  false: the client is gone
  bool write_some(httplib::DataSink& sink) {
    if (!begun_) {
      begun_ = true;
      for (std::size_t i = 0; chat_ && i < open_; ++i) {
        if (!send(sink, chunk(i, {{"role", "assistant"}, {"content", ""}}, nullptr))) return false;
      }
    }
    const std::optional<Outcome::Event> event = outcome_->next(kLook);
    if (!event) return sink.is_writable();
    if (const Error* error = std::get_if<Error>(&event->what)) {
      send(sink, error_json(*error));
      return finish(sink);
    }
    if (const std::string* text = std::get_if<std::string>(&event->what)) {
      return send(sink, chunk(event->choice, {{"content", *text}}, nullptr));
    }
    const Reply& reply = std::get<Reply>(event->what);
    count(reply);
    if (!send(sink, chunk(event->choice, Json::object(), openai_name(reply.finish)))) return false;
    if (--open_ > 0) return true;
    if (asked_.includes_usage) {
      Json json = head(chat_ ? "chat.completion.chunk" : "text_completion");
      json["choices"] = Json::array();
      json["usage"] = usage();
      if (!send(sink, json)) return false;
    }
    return finish(sink);
  }

 private:
  void cancel() {
    for (const Scheduler::Ticket ticket : tickets_) scheduler_.cancel(ticket);
    tickets_.clear();
  }
  void count(const Reply& reply) { written_ += reply.tokens.size() + (reply.finish == Finish::Stop ? 1 : 0); }
  Json head(const char* object) const {
    return {{"id", id_}, {"object", object}, {"created", created_}, {"model", asked_.model}};
  }
  Json usage() const {
    std::size_t prompts = 0;
    for (const std::size_t tokens : asked_.prompt_tokens) prompts += tokens;
    return {{"prompt_tokens", prompts}, {"completion_tokens", written_}, {"total_tokens", prompts + written_}};
  }
  Json chunk(std::size_t index, const Json& delta, const char* finish) const {
    Json json = head(chat_ ? "chat.completion.chunk" : "text_completion");
    Json choice{{"index", index}};
    if (chat_) {
      choice["delta"] = delta;
    } else {
      choice["text"] = delta.value("content", "");
    }
    choice["finish_reason"] = finish == nullptr ? Json() : Json(finish);
    json["choices"] = Json::array({choice});
    return json;
  }
  static bool send(httplib::DataSink& sink, const Json& json) {
    const std::string line = "data: " + dumped(json) + "\n\n";
    return sink.write(line.data(), line.size());
  }
  static bool finish(httplib::DataSink& sink) {
    constexpr std::string_view kEnd = "data: [DONE]\n\n";
    const bool there = sink.write(kEnd.data(), kEnd.size());
    sink.done();
    return there;
  }

  Asked asked_;
  bool chat_;
  Scheduler& scheduler_;
  std::shared_ptr<Outcome> outcome_;
  std::vector<Scheduler::Ticket> tickets_;
  std::int64_t created_ = std::time(nullptr);
  std::string id_;
  std::size_t open_ = 0;  ///< choices that are being written
  std::size_t written_ = 0;
  bool begun_ = false;
};

}  // namespace

/// The addresses, and what answers at them.
struct HttpServer::Routes {
  const ServedModel& model;
  Scheduler& scheduler;
  RequestParser parser;
  std::string key;
  httplib::Server server;
  std::atomic<std::uint64_t> asked{0};
  std::int64_t started = std::time(nullptr);

  Routes(const ServedModel& served, Scheduler& engine, const ServerOptions& options)
      : model(served), scheduler(engine), parser(served, options.most_tokens), key(options.key) {
    server.new_task_queue = [] { return new httplib::ThreadPool(kConnections); };
    server.set_payload_max_length(kLargestBody_bytes);
    // Not the library's SO_REUSEPORT, with which a second server takes half of the connections of the first.
    server.set_socket_options([](socket_t socket) {
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    server.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      if (key.empty() || request.path == "/health" || request.get_header_value("Authorization") == "Bearer " + key) {
        return httplib::Server::HandlerResponse::Unhandled;
      }
      answer(response,
             {{"error",
               {{"message", "the key is missing or wrong"},
                {"type", "authentication_error"},
                {"param", nullptr},
                {"code", 401}}}},
             401);
      return httplib::Server::HandlerResponse::Handled;
    });
    server.set_error_handler([](const httplib::Request& request, httplib::Response& response) {
      if (!response.body.empty()) return;
      const std::string message = response.status == 404   ? fmt::format("nothing is at {}", request.path)
                                  : response.status == 413 ? "the request is larger than 8 MB"
                                                           : fmt::format("status {}", response.status);
      answer(response,
             {{"error",
               {{"message", printable(message)},
                {"type", "invalid_request_error"},
                {"param", nullptr},
                {"code", response.status}}}},
             response.status);
    });
    server.Get("/health", [this](const httplib::Request&, httplib::Response& response) { health(response); });
    server.Get("/v1/models", [this](const httplib::Request&, httplib::Response& response) { models(response); });
    server.Post("/v1/chat/completions", [this](const httplib::Request& request, httplib::Response& response) {
      complete(
          response, [&] { return parser.parse_chat(request.body); }, /*chat=*/true);
    });
    server.Post("/v1/completions", [this](const httplib::Request& request, httplib::Response& response) {
      complete(
          response, [&] { return parser.parse_completion(request.body); }, /*chat=*/false);
    });
  }

  void health(httplib::Response& response) const {
    const Scheduler::Load load = scheduler.load();
    const bool well = load.last_step_s < kLongestStep_s;
    answer(response,
           {{"status", well ? "ok" : "stuck"},
            {"waiting", load.waiting},
            {"writing", load.writing},
            {"last_step_s", load.last_step_s}},
           well ? 200 : 503);
  }

  void models(httplib::Response& response) const {
    const BackboneIdentity& identity = model.backbone.identity();
    Json list = Json::array();
    for (const std::string& name : model.names()) {
      list.push_back({{"id", name},
                      {"object", "model"},
                      {"created", started},
                      {"owned_by", "coala"},
                      {"meta",
                       {{"n_ctx_train", identity.context_tokens},
                        {"n_vocab", identity.vocabulary},
                        {"n_params", identity.parameters},
                        {"architecture", identity.architecture}}}});
    }
    answer(response, {{"object", "list"}, {"data", list}});
  }

  template <class Parse>
  void complete(httplib::Response& response, const Parse& parse, bool chat) {
    try {
      const auto completion = std::make_shared<Completion>(parse(), chat, ++asked, scheduler);
      if (!completion->streams()) {
        answer(response, completion->whole());
        return;
      }
      response.set_header("Cache-Control", "no-cache");
      response.set_chunked_content_provider("text/event-stream", [completion](std::size_t, httplib::DataSink& sink) {
        return completion->write_some(sink);
      });
    } catch (const Error& error) {
      answer(response, error_json(error), status_of(error.code()));
    } catch (const std::exception& error) {
      answer(response, error_json(Error(ErrorCode::Internal, error.what())), 500);
    }
  }
};

HttpServer::HttpServer(const ServedModel& model, Scheduler& scheduler, const ServerOptions& options)
    : routes_(std::make_unique<Routes>(model, scheduler, options)), options_(options) {}

HttpServer::~HttpServer() = default;

void HttpServer::run(const std::function<void(int)>& on_ready) {
  httplib::Server& server = routes_->server;
  const int port = options_.port == 0 ? server.bind_to_any_port(options_.host.c_str())
                   : server.bind_to_port(options_.host.c_str(), options_.port) ? options_.port
                                                                               : -1;
  if (port <= 0) {
    throw Error(ErrorCode::Io, fmt::format("cannot listen at {}:{}", options_.host, options_.port),
                "another program may use the port: choose another with --port");
  }
  std::atomic<bool> over{false};
  std::thread watch([&] {
    while (!over && !interrupted()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    routes_->scheduler.stop();
    server.stop();
  });
  on_ready(port);
  server.listen_after_bind();
  over = true;
  watch.join();
  throw_if_interrupted();
}

}  // namespace coala
