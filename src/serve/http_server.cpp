#include "serve/http_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/utf8.h"
#include "core/version.h"
#include "serve/access.h"
#include "serve/completion.h"
#include "serve/connection.h"
#include "serve/feedback_answers.h"
#include "serve/health.h"
#include "serve/model_answers.h"
#include "serve/operations.h"
#include "serve/page.h"
#include "serve/receive_body.h"
#include "serve/request_error.h"
#include "serve/request_parser.h"
#include "serve/reward_answers.h"
#include "serve/taught_files.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

/// Connections that are served beside those of requests that write or wait.
constexpr std::size_t kOtherConnections = 32;
/// Of these, what is left for others than POSTs: health, metrics, preflights.
constexpr std::size_t kReservedConnections = 16;
/// What answers may take to end when the server is stopped.
constexpr std::chrono::milliseconds kEnd{1000};
constexpr std::string_view kModelsPath = "/v1/models/";
/// Nothing from elsewhere, and no script but the page's own.
constexpr const char* kPagePolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Reports have their styles in them, and no scripts.
constexpr const char* kReportPolicy =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
constexpr const char* kRequestId = "X-Request-Id";

void answer(httplib::Response& response, const Json& json, int status = 200) {
  response.status = status;
  response.set_content(dumped(json), "application/json");
}

void answer(httplib::Response& response, const Error& error) {
  const int status = status_of(error);
  if (status == 429) response.set_header("Retry-After", "1");
  if (status == 401) response.set_header("WWW-Authenticate", "Bearer");
  answer(response, error_json(error), status);
}

/// The address under which a request is counted.
std::string endpoint_of(const std::string& path) {
  for (const Operation& one : operations()) {
    if (one.path == path) return path;
  }
  return path.starts_with(kModelsPath) ? "/v1/models" : "other";
}

/// The methods that an address knows; none: there is no such address.
std::string methods_at(const std::string& path) {
  if (path.starts_with(kModelsPath) || find_page_file(path) != nullptr) return "GET, HEAD, OPTIONS";
  std::string methods;
  for (const char* method : {"GET", "POST", "DELETE"}) {
    if (find_operation(method, path) == nullptr) continue;
    methods += method == std::string_view("GET") ? "GET, HEAD, " : fmt::format("{}, ", method);
  }
  return methods.empty() ? "" : methods + "OPTIONS";
}

/// Something of a client's that is safe in a header and in a log.
bool is_plain_word(const std::string& text) {
  return !text.empty() && text.size() <= 64 &&
         std::ranges::all_of(text, [](char c) { return is_letter_or_digit(c) || c == '-' || c == '_'; });
}

}  // namespace

/// The addresses, and what answers at them.
struct HttpServer::Routes {
  const CurrentModel& model;
  Scheduler& scheduler;
  ScoreQueue& scores;
  Metrics& metrics;
  ServerOptions options;
  ServedLimits limits;
  RewardAnswers rewards;
  Access access;
  TaughtFiles files;
  std::size_t most_connections;
  ConnectionServer server;
  std::atomic<std::uint64_t> asked{0};
  std::mutex names_mutex;
  static constexpr std::size_t kMostNames = 256;
  std::set<std::string> told_names;  ///< unknown parameters that the log has named

  Routes(const CurrentModel& served, Scheduler& engine, ScoreQueue& score_queue, Metrics& counters,
         const ServerOptions& how)
      : model(served),
        scheduler(engine),
        scores(score_queue),
        metrics(counters),
        options(how),
        limits{how.most_tokens, how.most_prompt_tokens, how.cells, how.streams},
        rewards(served, score_queue, counters),
        access(how.host, how.key, how.origins),
        files(served.get()->backbone, how.threads),
        most_connections(how.most_requests + kOtherConnections),
        server(ConnectionLimits(), most_connections) {
    server.set_payload_max_length(kLargestBody_bytes);
    // Not the library's SO_REUSEPORT, with which a second server takes half of the connections of the first.
    server.set_socket_options([](socket_t socket) {
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    server.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      return may_come_in(request, response) ? httplib::Server::HandlerResponse::Unhandled
                                            : httplib::Server::HandlerResponse::Handled;
    });
    server.set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (!response.body.empty()) return;
      const int status = response.status;
      answer(response, RequestError(status, status == 413 ? "body_too_large" : "bad_request",
                                    status == 413 ? "the request is larger than 8 MB"
                                                  : fmt::format("the request was not understood ({})", status)));
    });
    // Not the logger, which the library calls after the last byte: who has read an answer finds it counted.
    server.set_post_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      metrics.answered(endpoint_of(request.path), response.status);
    });
    add_get("/health", [this](httplib::Response& response) { health(response); });
    add_get("/metrics", [this](httplib::Response& response) { show_metrics(response); });
    add_get("/v1/models", [this](httplib::Response& response) { answer(response, models_json(*model.get(), limits)); });
    add_get("/props",
            [this](httplib::Response& response) { answer(response, props_json(*model.get(), limits, kVersion)); });
    add_get("/openapi.json", [](httplib::Response& response) { answer(response, openapi_json(kVersion)); });
    for (const PageFile& file : serve_page_files()) {
      add_get(std::string(file.path).c_str(), [&file](httplib::Response& response) {
        response.set_header("Content-Security-Policy", kPagePolicy);
        response.set_header("X-Content-Type-Options", "nosniff");
        response.set_header("Cache-Control", "no-cache");
        response.set_content(file.content.data(), file.content.size(), std::string(file.type));
      });
    }
    server.Get("/report", [this](const httplib::Request& request, httplib::Response& response) {
      guarded(response, [&] {
        const std::shared_ptr<const ServedModel> now = model.get();
        const std::string& report = now->report(request.get_param_value("head"));
        response.set_header("Content-Security-Policy", kReportPolicy);
        response.set_header("X-Content-Type-Options", "nosniff");
        response.set_content(report.data(), report.size(), "text/html; charset=utf-8");
      });
    });
    add_get("/v1/feedback",
            [this](httplib::Response& response) { answer(response, feedback_json(teacher().report())); });
    for (const RecordKind kind : {RecordKind::Pair, RecordKind::Labelled}) {
      const char* const path = kind == RecordKind::Pair ? "/v1/feedback/pairs" : "/v1/feedback/ratings";
      add_get(path, [this, kind](httplib::Response& response) {
        response.set_content(teacher().exported(kind), "application/jsonl");
      });
    }
    for (const TaughtFile kind : {TaughtFile::Head, TaughtFile::Adapter, TaughtFile::Model}) {
      add_get(taught_file_path(kind), [this, kind](httplib::Response& response) { send_taught(kind, response); });
    }
    server.Delete("/v1/feedback/last", [this](const httplib::Request& request, httplib::Response& response) {
      guarded(response, [&] {
        const Watch watch(options.time_limit);
        answer(response, attended([&] { return take_back(teacher(), request.get_param_value("id"), watch); }));
      });
    });
    server.Get(std::string(kModelsPath) + "(.*)", [this](const httplib::Request& request, httplib::Response& response) {
      guarded(response,
              [&] { answer(response, model_json(*model.get(), limits, request.path.substr(kModelsPath.size()))); });
    });
    for (const Operation& operation : operations()) {
      if (operation.method != "POST") continue;
      server.Post(operation.path, [this, &operation](const httplib::Request& request, httplib::Response& response,
                                                     const httplib::ContentReader& read) {
        guarded(response, [&] { post(operation, request, response, read); });
      });
    }
  }

  template <class Handler>
  void add_get(const char* path, Handler handler) {
    server.Get(path, [handler](const httplib::Request&, httplib::Response& response) {
      guarded(response, [&] { handler(response); });
    });
  }

  /// Whatever goes wrong is an answer.
  template <class Work>
  static void guarded(httplib::Response& response, Work work) {
    try {
      work();
    } catch (const Error& error) {
      answer(response, error);
    } catch (const std::bad_alloc&) {
      answer(response, Error(ErrorCode::OutOfMemory, "there is no memory for this request"));
    } catch (const std::exception& error) {
      answer(response, Error(ErrorCode::Internal, error.what()));
    }
    if (response.status >= 400) ConnectionServer::body_may_be_unread();
  }

  /// What is decided before a body is read. False: it is answered.
  bool may_come_in(const httplib::Request& request, httplib::Response& response) {
    ConnectionServer::head_is_read();
    // The library would answer with as many copies as a header has ranges, before anybody has shown a key.
    const_cast<httplib::Request&>(request).ranges.clear();
    const std::string id = request.get_header_value(kRequestId);
    response.set_header(kRequestId, is_plain_word(id) ? id : fmt::format("coala-{}", ++asked));
    const std::string methods = methods_at(request.path);
    bool comes_in = false;
    guarded(response, [&] {
      if (access.allow_origin(request, response) && request.method == "OPTIONS") {  // a browser sends no key with it
        response.status = 204;
        return;
      }
      access.check(request);
      if (methods.empty()) {
        throw RequestError(404, "not_found", fmt::format("nothing is at {}", quoted_text(request.path)), "",
                           "/openapi.json says what there is");
      }
      if (request.method == "OPTIONS") {
        response.set_header("Allow", methods);
        response.status = 204;
        return;
      }
      if ((", " + methods + ",").find(" " + request.method + ",") == std::string::npos) {
        response.set_header("Allow", methods);
        throw RequestError(405, "method_not_allowed",
                           fmt::format("nothing takes a {} at {}", quoted_text(request.method), request.path));
      }
      if (request.method == "POST" && server.connections() + kReservedConnections > most_connections) {
        throw RequestError(429, "queue_full", "all connections are in use", "", "ask again later");
      }
      comes_in = true;
    });
    return comes_in;
  }

  void health(httplib::Response& response) const {
    const std::shared_ptr<const ServedModel> now = model.get();
    const double lesson_s = now->teacher != nullptr ? now->teacher->running_s() : 0;
    const Json json = health_json(scheduler.load(), scores.load(), lesson_s, options.time_limit);
    answer(response, json, json["status"] == "ok" ? 200 : 503);
  }

  void show_metrics(httplib::Response& response) const {
    const Scheduler::Load load = scheduler.load();
    response.status = 200;
    response.set_content(
        metrics.text({load.steps, load.waiting, load.writing, load.cells, scores.load().waiting, load.last_step_s}),
        "text/plain; version=0.0.4; charset=utf-8");
  }

  bool is_first_of_its_name(const std::string& name) {
    const std::lock_guard lock(names_mutex);
    return told_names.size() < kMostNames && told_names.insert(name).second;
  }

  /// Says of unknown parameters that they were ignored: to the client, and once for each name in the log.
  std::vector<std::string> warnings_of(const RequestBody& body) {
    std::vector<std::string> warnings;
    for (const std::string& name : body.unknown) {
      if (warnings.size() == kMostNames) break;
      warnings.push_back(fmt::format("unknown parameter {} was ignored", quoted_text(name)));
      if (is_first_of_its_name(name)) log_line("a client's " + warnings.back());
    }
    return warnings;
  }

  void post(const Operation& operation, const httplib::Request& request, httplib::Response& response,
            const httplib::ContentReader& read) {
    const Watch watch(options.time_limit);
    const RequestBody body = read_body(receive_body(request, response, read), operation, options.strict);
    std::vector<std::string> warnings = warnings_of(body);
    if (operation.path.ends_with("completions")) {
      complete(operation.path.find("chat") != std::string::npos, body.json, std::move(warnings), watch, response);
      return;
    }
    Json json = attended([&]() -> Json {
      if (operation.path == "/tokenize") return tokenize_json(*model.get(), body.json);
      if (operation.path == "/detokenize") return detokenize_json(*model.get(), body.json);
      if (operation.path == "/v1/feedback") return take_feedback(teacher(), body.json, watch);
      if (operation.path == "/v1/feedback/next") return next_json(teacher(), body.json, watch);
      if (operation.path == "/v1/feedback/influence") return influence_json(teacher(), body.json, watch);
      return rewards.answer(operation.path, body.json, watch);
    });
    if (!warnings.empty() && json.is_object()) json["warnings"] = warnings;
    answer(response, json);
  }

  Teacher& teacher() const {
    if (Teacher* const teacher = model.get()->teacher) return *teacher;
    throw RequestError(404, "not_taught", "nothing is taught here", "", "start the server with --teach FILE");
  }

  void send_taught(TaughtFile kind, httplib::Response& response) {
    const Watch watch(options.time_limit);
    std::shared_ptr<const OpenFile> file;
    attended([&]() -> Json {
      file = files.make(kind, teacher(), watch);
      return {};
    });
    response.set_header("Content-Disposition", fmt::format("attachment; filename=\"{}\"", taught_file_name(kind)));
    response.set_content_provider(static_cast<std::size_t>(file->bytes()), "application/octet-stream",
                                  [file](std::size_t offset, std::size_t length, httplib::DataSink& sink) {
                                    return file->send(offset, length, sink);
                                  });
  }

  /// Counts clients that leave before they have an answer.
  template <class Work>
  Json attended(Work work) {
    try {
      return work();
    } catch (const RequestError& error) {
      if (error.status() == Watch::kGone) metrics.dropped();
      throw;
    }
  }

  void complete(bool chat, const nlohmann::json& body, std::vector<std::string> warnings, const Watch& watch,
                httplib::Response& response) {
    const std::shared_ptr<const ServedModel> served = model.get();
    const RequestParser parser(*served, options.most_tokens, options.cells, options.most_prompt_tokens);
    Asked wanted = chat ? parser.parse_chat(body) : parser.parse_completion(body);
    const std::size_t queue = options.most_requests - static_cast<std::size_t>(options.streams);
    if (wanted.requests.size() > queue) {  // would be refused for ever
      throw RequestError(400, "invalid_value",
                         fmt::format("the request asks for {} replies; {} may wait", wanted.requests.size(), queue),
                         "n", "ask for fewer");
    }
    const auto completion =
        std::make_shared<Completion>(std::move(wanted), chat, ++asked, std::move(warnings), watch,
                                     Completion::Place{served->backbone.tokenizer(), scheduler, metrics});
    if (!completion->streams()) {
      answer(response, attended([&] { return completion->whole(); }));
      return;
    }
    response.set_header("Cache-Control", "no-cache");
    response.set_header("X-Accel-Buffering", "no");
    response.set_chunked_content_provider("text/event-stream", [completion](std::size_t, httplib::DataSink& sink) {
      try {
        return completion->write_some(sink);
      } catch (const std::exception&) {
        return false;  // no memory: the connection ends, and the request with it
      }
    });
  }
};

void ServerOptions::validate() const {
  if (is_loopback(host) || !key.empty()) return;
  throw Error(ErrorCode::BadUsage,
              fmt::format("other machines can reach {}, and no key is set that clients must send", host),
              "set COALA_API_KEY, or listen at 127.0.0.1");
}

HttpServer::HttpServer(const CurrentModel& model, Scheduler& scheduler, ScoreQueue& scores, Metrics& metrics,
                       const ServerOptions& options)
    : routes_(std::make_unique<Routes>(model, scheduler, scores, metrics, options)), options_(options) {}

HttpServer::~HttpServer() = default;

void HttpServer::run(const std::function<void(int)>& on_ready) {
  ConnectionServer& server = routes_->server;
  const int port = options_.port == 0                                  ? server.bind_to_any_port(options_.host)
                   : server.bind_to_port(options_.host, options_.port) ? options_.port
                                                                       : -1;
  if (port <= 0) {
    throw Error(ErrorCode::Io, fmt::format("cannot listen at {}:{}", options_.host, options_.port),
                "another program may use the port: choose another with --port");
  }
  server.allow_burst();
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  std::jthread watch([&](const std::stop_token& over) {
    while (!over.stop_requested() && !interrupted()) pause();
    routes_->scheduler.stop();
    routes_->scores.stop();
    // What is being answered gets its end before the connections do.
    const auto latest = std::chrono::steady_clock::now() + kEnd;
    while (!over.stop_requested() && server.connections() > 0 && std::chrono::steady_clock::now() < latest) pause();
    while (!over.stop_requested() && !server.is_running()) pause();
    if (!over.stop_requested()) server.stop();
  });
  on_ready(port);
  const bool served = server.listen_after_bind();
  watch.request_stop();
  watch.join();
  throw_if_interrupted();
  if (!served) {
    throw Error(ErrorCode::Io, fmt::format("connections at {}:{} are no longer accepted", options_.host, port),
                "there may be too many open files, or no memory; start the server again");
  }
}

}  // namespace coala
