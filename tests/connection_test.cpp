// Connections of the server: who is waited for, for how long, and what reaches a handler.
#include "serve/connection.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "serve/health.h"
#include "serve/receive_body.h"
#include "serve/request_error.h"

namespace coala {
namespace {

constexpr std::chrono::milliseconds kLong{60'000};  // nothing here waits for so long
constexpr int kPatience_s = 20;

/// A client; what it waits for comes in time or not at all.
class Client {
 public:
  explicit Client(int port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval patience{kPatience_s, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  ~Client() { ::close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void send(std::string_view text) const {
    EXPECT_EQ(::send(socket_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  void end() const { ::shutdown(socket_, SHUT_WR); }
  /// All that comes until the server closes; "nothing came" when it does not.
  std::string received() const {
    std::string all;
    char buffer[4096];
    for (;;) {
      const ssize_t got = ::recv(socket_, buffer, sizeof buffer, 0);
      if (got < 0) return "nothing came";
      if (got == 0) return all;
      all.append(buffer, static_cast<std::size_t>(got));
    }
  }
  std::string answer_to(std::string_view text) const {
    send(text);
    return received();
  }

 private:
  int socket_;
};

/// A server that says which key it was sent and gives back what was posted.
class Echo {
 public:
  explicit Echo(const ConnectionLimits& limits, std::size_t threads = 2) : server_(limits, threads) {
    server_.set_pre_routing_handler([](const httplib::Request&, httplib::Response&) {
      ConnectionServer::head_is_read();
      return httplib::Server::HandlerResponse::Unhandled;
    });
    server_.Get("/key", [](const httplib::Request& request, httplib::Response& response) {
      response.set_content("key " + request.get_header_value("Authorization"), "text/plain");
    });
    server_.Post("/",
                 [](const httplib::Request& request, httplib::Response& response, const httplib::ContentReader& read) {
                   try {
                     response.set_content("got " + receive_body(request, response, read), "text/plain");
                   } catch (const RequestError& error) {
                     response.status = error.status();
                     response.set_content(error.what(), "text/plain");
                     ConnectionServer::body_may_be_unread();
                   }
                 });
    port_ = server_.bind_to_any_port("127.0.0.1");
    server_.allow_burst();
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~Echo() {
    server_.stop();
    thread_.join();
  }
  Echo(const Echo&) = delete;
  Echo& operator=(const Echo&) = delete;
  int port() const { return port_; }

 private:
  ConnectionServer server_;
  int port_ = 0;
  std::thread thread_;
};

const ConnectionLimits kPatient{.head_time = kLong, .body_time = kLong, .write_time = kLong};
constexpr std::string_view kAsk = "GET /key HTTP/1.1\r\nHost: x\r\n\r\n";
constexpr std::string_view kPost = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n";

TEST(Connections, ThoseThatSendNothingKeepNobodyWaiting) {
  const Echo echo(kPatient);
  std::vector<std::unique_ptr<Client>> silent;
  for (int i = 0; i < 40; ++i) {
    silent.push_back(std::make_unique<Client>(echo.port()));
    if (i % 2 == 0) silent.back()->send("POST / HTTP/1.1\r\nHos");
  }
  EXPECT_TRUE(Client(echo.port()).answer_to(kAsk).ends_with("key "));
  // They are served all the same once they speak.
  EXPECT_TRUE(silent[1]->answer_to(kAsk).ends_with("key "));
  EXPECT_TRUE(silent[2]->answer_to("t: x\r\nContent-Length: 2\r\n\r\nhi").ends_with("got hi"));
}

TEST(Connections, OfTooManyThatSendNothingTheOldestGoes) {
  ConnectionLimits limits = kPatient;
  limits.most_silent = 3;
  const Echo echo(limits);
  const Client first(echo.port());
  std::vector<std::unique_ptr<Client>> others;
  for (int i = 0; i < 3; ++i) others.push_back(std::make_unique<Client>(echo.port()));
  EXPECT_EQ(first.received(), "");
  EXPECT_TRUE(others.front()->answer_to(kAsk).ends_with("key "));
}

TEST(Connections, WhatComesTooSlowlyIsSaidToBeSo) {
  ConnectionLimits limits = kPatient;
  limits.head_time = limits.body_time = std::chrono::milliseconds(200);
  const Echo echo(limits);
  EXPECT_EQ(Client(echo.port()).received(), "") << "nothing was asked";
  EXPECT_TRUE(Client(echo.port()).answer_to("GET /key HT").starts_with("HTTP/1.1 408 "));
  EXPECT_TRUE(Client(echo.port()).answer_to(std::string(kPost) + "half").starts_with("HTTP/1.1 408 "));
  const std::string chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha";
  EXPECT_TRUE(Client(echo.port()).answer_to(chunked).starts_with("HTTP/1.1 408 "));
}

TEST(Connections, WhatIsCutOffIsSaidToBeSo) {
  const Echo echo(kPatient);
  const Client client(echo.port());
  client.send(std::string(kPost) + "half");
  client.end();
  EXPECT_TRUE(client.received().starts_with("HTTP/1.1 400 "));
}

TEST(Connections, AHeadMayComeInAnyPieces) {
  const Echo echo(kPatient);
  const std::string whole = std::string(kPost) + "0123456789";
  for (std::size_t cut = 1; cut < whole.size(); ++cut) {
    const Client client(echo.port());
    client.send(std::string_view(whole).substr(0, cut));
    EXPECT_TRUE(client.answer_to(std::string_view(whole).substr(cut)).ends_with("got 0123456789")) << cut;
  }
}

TEST(Connections, KeysAreReadAsTheyAreSent) {
  const Echo echo(kPatient);
  for (const std::string key : {"Bearer a%41b", "Bearer %", "Bearer 100%25", "Bearer %u0041+x"}) {
    const std::string answer =
        Client(echo.port()).answer_to("GET /key HTTP/1.1\r\nHost: x\r\naUTHORIZATION: " + key + "\r\n\r\n");
    EXPECT_TRUE(answer.ends_with("\r\n\r\nkey " + key)) << answer;
  }
  // What follows the head is nobody's key.
  const std::string body = "Authorization: %41\r\n";
  const std::string answer =
      Client(echo.port())
          .answer_to("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                     body);
  EXPECT_TRUE(answer.ends_with("got " + body)) << answer;
}

TEST(Connections, LinesThatTwoProgramsWouldReadDifferentlyAreRefused) {
  const Echo echo(kPatient);
  const std::string post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n";
  const auto status_of_lines = [&](const std::string& lines) {
    return Client(echo.port()).answer_to(lines + "\r\nhi").substr(0, 12);
  };
  for (const std::string good : {"", "X:\r\n", "X: a\tb\r\n", "X: \xe4\r\n", "X!#$%&'*+-.^_`|~1:y\r\n",
                                 "X: %0d%0a%41\r\n", "Content-Encoding: identity\r\n"}) {
    EXPECT_EQ(status_of_lines(post + good), "HTTP/1.1 200") << good;
  }
  using namespace std::string_literals;
  for (const std::string& bad :
       {"Transfer-Encoding : chunked\r\n"s, "Transfer-Encoding: \r\n"s, "Transfer-Encoding: chun%6Bed\r\n"s,
        "Transfer-Encoding:\vchunked\r\n"s, "Content-Length: 2\r\n"s, "X: a\r\n Transfer-Encoding: chunked\r\n"s,
        "X: a\r\n\tb\r\n"s, "garbage\r\n"s, ": x\r\n"s, "X\0: a\r\n"s, "X: a\0b\r\n"s,
        "X: a\rTransfer-Encoding: b\r\n"s, "X: a\nTransfer-Encoding: chunked\r\n"s, "X: \x7f\r\n"s, "Host: y\r\n"s}) {
    EXPECT_EQ(status_of_lines(post + bad), "HTTP/1.1 400") << bad;
  }
  for (const std::string encoding : {"zzz", "gzip, br", "", "GZIP"}) {
    EXPECT_EQ(status_of_lines(post + "Content-Encoding: " + encoding + "\r\n"), "HTTP/1.1 415") << encoding;
  }
  EXPECT_EQ(status_of_lines("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %32\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(status_of_lines("POST / HTTP/1.1\r\nHost: x\r\n"), "HTTP/1.1 411");
  EXPECT_EQ(status_of_lines("POST / HTTP/1.1\r\nContent-Length: 2\r\n"), "HTTP/1.1 400") << "no host";
  EXPECT_EQ(status_of_lines("GET /key\0 HTTP/1.1\r\nHost: x\r\n"s), "HTTP/1.1 400");
}

TEST(Connections, ChunksAreReadAsTheyAreDefined) {
  const Echo echo(kPatient);
  const auto answer_to = [&](const std::string& chunks) {
    const Client client(echo.port());
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks);
    client.end();
    return client.received();
  };
  for (const std::string good : {"2\r\nhi\r\n0\r\n\r\n", "02;a=\"b\"\r\nhi\r\n000\r\n\r\n",
                                 "1\r\nh\r\n1\r\ni\r\n0\r\n\r\nGET /", "2\r\nhi\r\n0;x\r\n\r\n"}) {
    EXPECT_TRUE(answer_to(good).ends_with("got hi")) << good;
  }
  const std::string all = "0123456789abcdef";
  EXPECT_TRUE(answer_to("A\r\n" + all.substr(0, 10) + "\r\n6\r\nabcdef\r\n0\r\n\r\n").ends_with("got " + all));
  for (const std::string bad :
       {"0x2\r\nhi\r\n0\r\n\r\n", "+2\r\nhi\r\n0\r\n\r\n", " 2\r\nhi\r\n0\r\n\r\n", "2 \r\nhi\r\n0\r\n\r\n",
        "2zz\r\nhi\r\n0\r\n\r\n", "2\nhi\r\n0\r\n\r\n", "2\r\nhi\n0\r\n\r\n", "2\r\nhi\r\n0\n\r\n",
        "2\r\nhi\r\n0\r\n\n", "2\r\nhiXX\r\n0\r\n\r\n", "2\r\nhi0\r\n\r\n", "2;a\nb\r\nhi\r\n0\r\n\r\n",
        "\r\n2\r\nhi\r\n0\r\n\r\n", "2\r\nhi\r\n0\r\nX: y\r\n\r\n", "2\r\nhi\r\n",
        "10000000000000002\r\nhi\r\n0\r\n\r\n", ";\r\nhi\r\n0\r\n\r\n"}) {
    EXPECT_TRUE(answer_to(bad).starts_with("HTTP/1.1 400 ")) << bad;
  }
}

TEST(Health, IsBadWhenSomethingWaitsAndNothingMoves) {
  const auto status_at = [](double step_s, double batch_s, double lesson_s) {
    const nlohmann::ordered_json json = health_json({.last_step_s = step_s}, {.waiting = 3, .last_batch_s = batch_s},
                                                    lesson_s, std::chrono::seconds(600));
    EXPECT_EQ(json["items_waiting"], 3);
    EXPECT_EQ(json["last_batch_s"], batch_s);
    EXPECT_EQ(json["lesson_s"], lesson_s);
    return json["status"].get<std::string>();
  };
  EXPECT_EQ(status_at(0, 0, 0), "ok");
  EXPECT_EQ(status_at(119, 599, 599), "ok");
  EXPECT_EQ(status_at(121, 0, 0), "stuck");
  EXPECT_EQ(status_at(0, 601, 0), "stuck");
  EXPECT_EQ(status_at(0, 0, 601), "stuck");
}

TEST(Connections, ClientsThatHaveTheirAnswerAndStillSendHoldNoThread) {
  const Echo echo(kPatient, 1);
  const std::string refused = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
  std::vector<std::unique_ptr<Client>> sending;
  for (int i = 0; i < 60; ++i) {
    sending.push_back(std::make_unique<Client>(echo.port()));
    sending.back()->send(refused);
  }
  EXPECT_TRUE(Client(echo.port()).answer_to(kAsk).ends_with("key "));
  EXPECT_TRUE(sending.back()->received().starts_with("HTTP/1.1 400 "));
}

}  // namespace
}  // namespace coala
