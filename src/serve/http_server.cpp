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
#include "core/utf8.h"
#include "serve/outcome.h"
#include "serve/request_parser.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLargestBody_bytes = std::size_t{8} << 20;
/// Connections that are served beside those of requests that write or wait.
constexpr std::size_t kOtherConnections = 16;
/// What a stream may take to end when the server is stopped.
constexpr std::chrono::milliseconds kEnd{300};
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

/// An error in OpenAI's shape.
Json error_json(const std::string& message, int status) {
  const char* type = status == 401   ? "authentication_error"
                     : status == 404 ? "not_found_error"
                     : status < 500  ? "invalid_request_error"
                                     : "server_error";
  return {{"error", {{"message", printable(message)}, {"type", type}, {"param", nullptr}, {"code", status}}}};
}

Json error_json(const Error& error) {
  return error_json(error.hint().empty() ? error.what() : fmt::format("{} ({})", error.what(), error.hint()),
                    status_of(error.code()));
}

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

void answer(httplib::Response& response, const Json& json, int status = 200) {
  response.status = status;
  response.set_content(dumped(json), "application/json");
}

void answer_error(httplib::Response& response, const std::string& message, int status) {
  answer(response, error_json(message, status), status);
}

const char* openai_name(Finish finish) {
  return finish == Finish::Stop ? "stop" : "length";
}

/// The requests of a client that are being written, and how their answer looks.
class Completion {
 public:
  /// @param open  how many there are
  Completion(Asked&& asked, bool chat, std::uint64_t number, Scheduler& scheduler, std::atomic<int>& open)
      : asked_(std::move(asked)),
        chat_(chat),
        scheduler_(scheduler),
        outcome_(std::make_shared<Outcome>()),
        all_(open) {
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
    ++all_;
  }
  ~Completion() {
    cancel();
    --all_;
  }
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
    json["coala"] = drawn_by();
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
    if (chat_ && !reply.reasoning.empty() &&
        !send(sink, chunk(event->choice, {{"reasoning_content", reply.reasoning}}, nullptr))) {
      return false;
    }
    Json last = chunk(event->choice, Json::object(), openai_name(reply.finish));
    last["coala"] = drawn_by();
    if (!send(sink, last)) return false;
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
  /// What a client needs to have the same reply again.
  Json drawn_by() const { return {{"seed", static_cast<std::int64_t>(asked_.seed)}, {"heads", asked_.heads}}; }
  Json head(const char* object) const {
    return {{"id", id_}, {"object", object}, {"created", created_}, {"model", asked_.model}};
  }
  Json usage() const {
    return {{"prompt_tokens", asked_.prompt_tokens},
            {"completion_tokens", written_},
            {"total_tokens", asked_.prompt_tokens + written_}};
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
    constexpr std::string_view kLast = "data: [DONE]\n\n";
    const bool there = sink.write(kLast.data(), kLast.size());
    sink.done();
    return there;
  }

  Asked asked_;
  bool chat_;
  Scheduler& scheduler_;
  std::shared_ptr<Outcome> outcome_;
  std::atomic<int>& all_;
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
  static constexpr const char* kChat = "/v1/chat/completions";
  static constexpr const char* kCompletions = "/v1/completions";

  const ServedModel& model;
  Scheduler& scheduler;
  RequestParser parser;
  std::string key;
  httplib::Server server;
  std::atomic<std::uint64_t> asked{0};
  std::atomic<int> open{0};  ///< requests that are being answered
  std::int64_t started = std::time(nullptr);

  Routes(const ServedModel& served, Scheduler& engine, const ServerOptions& options)
      : model(served), scheduler(engine), parser(served, options.most_tokens, options.cells), key(options.key) {
    const std::size_t connections = options.most_requests + kOtherConnections;
    server.new_task_queue = [connections] { return new httplib::ThreadPool(connections); };
    server.set_payload_max_length(kLargestBody_bytes);
    // A body that is refused is not read; what is left of it must not be taken for the next request.
    server.set_keep_alive_max_count(1);
    // Not the library's SO_REUSEPORT, with which a second server takes half of the connections of the first.
    server.set_socket_options([](socket_t socket) {
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    server.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      return may_come_in(request, response) ? httplib::Server::HandlerResponse::Unhandled
                                            : httplib::Server::HandlerResponse::Handled;
    });
    server.set_error_handler([](const httplib::Request& request, httplib::Response& response) {
      if (!response.body.empty()) return;
      answer_error(response,
                   response.status == 404   ? "nothing is at " + request.path
                   : response.status == 413 ? "the request is larger than 8 MB"
                                            : fmt::format("status {}", response.status),
                   response.status);
    });
    server.Get("/health", [this](const httplib::Request&, httplib::Response& response) { health(response); });
    server.Get("/v1/models", [this](const httplib::Request&, httplib::Response& response) { models(response); });
    for (const bool chat : {true, false}) {
      server.Post(chat ? kChat : kCompletions,
                  [this, chat](const httplib::Request& request, httplib::Response& response,
                               const httplib::ContentReader& read) { complete(request, response, read, chat); });
    }
  }

  /// Refuses what no handler reads the body of, and who has no key.
  bool may_come_in(const httplib::Request& request, httplib::Response& response) const {
    const bool reads_body = request.method == "POST" && (request.path == kChat || request.path == kCompletions);
    if (!reads_body && request.method != "GET" && request.method != "HEAD") {
      answer_error(response, fmt::format("nothing takes a {} at {}", request.method, request.path), 404);
      return false;
    }
    if (key.empty() || request.path == "/health") return true;
    if (request.get_header_value("Authorization") == "Bearer " + key) return true;
    answer_error(response, "the key is missing or wrong", 401);
    return false;
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

  /// The body, however it is sent: the library limits only the length that a client announces. Nothing when it is too
  /// large or cut off.
  static std::optional<std::string> body_of(const httplib::Request& request, const httplib::ContentReader& read) {
    if (request.is_multipart_form_data()) throw Error(ErrorCode::BadInput, "the request is no JSON object");
    std::string body;
    const bool is_whole = read([&](const char* data, std::size_t size) {
      if (body.size() + size > kLargestBody_bytes) return false;
      body.append(data, size);
      return true;
    });
    return is_whole ? std::optional(std::move(body)) : std::nullopt;
  }

  void complete(const httplib::Request& request, httplib::Response& response, const httplib::ContentReader& read,
                bool chat) {
    try {
      const std::optional<std::string> body = body_of(request, read);
      if (!body) {
        answer_error(response, "the request is cut off, or larger than 8 MB", 413);
        return;
      }
      Asked wanted = chat ? parser.parse_chat(*body) : parser.parse_completion(*body);
      const auto completion = std::make_shared<Completion>(std::move(wanted), chat, ++asked, scheduler, open);
      if (!completion->streams()) {
        answer(response, completion->whole());
        return;
      }
      response.set_header("Cache-Control", "no-cache");
      response.set_chunked_content_provider("text/event-stream", [completion](std::size_t, httplib::DataSink& sink) {
        try {
          return completion->write_some(sink);
        } catch (const std::exception&) {
          return false;  // no memory: the connection ends, and the request with it
        }
      });
    } catch (const Error& error) {
      answer(response, error_json(error), status_of(error.code()));
    } catch (const std::exception& error) {
      answer_error(response, error.what(), 500);
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
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  std::jthread watch([&] {
    while (!over && !interrupted()) pause();
    routes_->scheduler.stop();
    // Streams get their last event before the connections end.
    const auto latest = std::chrono::steady_clock::now() + kEnd;
    while (!over && routes_->open > 0 && std::chrono::steady_clock::now() < latest) pause();
    while (!over && !server.is_running()) pause();
    if (!over) server.stop();
  });
  on_ready(port);
  const bool served = server.listen_after_bind();
  over = true;
  watch.join();
  throw_if_interrupted();
  if (!served) {
    throw Error(ErrorCode::Io, fmt::format("connections at {}:{} are no longer accepted", options_.host, port),
                "there may be too many open files, or no memory; start the server again");
  }
}

}  // namespace coala
