// Replies as they are written: without guidance, guided by a head and ended early, and several at once by an engine,
// each with a scale of its own. Usage: generate MODEL HEAD QUESTION

#include <coala/lm.h>

#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace {

bool show(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
  return true;  // go on
}

int run(char** argv) {
  const coala::Model model({.path = argv[1]});
  const coala::Head head = coala::Head::load(argv[2]);

  coala::Request request;
  request.prompt.messages = {{"user", argv[3]}};
  request.max_tokens = 48;
  request.seed = 7;
  request.on_text = show;
  std::printf("as it is: ");
  coala::generate(model, request);

  request.guidance = coala::Guidance::EachToken;
  request.heads = {{head, 1.0}};
  std::printf("\nguided:   ");
  const coala::Reply guided = coala::generate(model, request).front();
  std::printf("\n          (%zu tokens, moved by %.3f nats per token)\n", guided.tokens,
              guided.divergence / static_cast<double>(guided.tokens));

  std::size_t seen = 0;
  request.on_text = [&](std::string_view text) { return (seen += text.size()) < 12; };
  std::printf("ended by who reads it: \"%s\"\n", coala::generate(model, request).front().text.c_str());

  coala::Engine engine(model);
  request.on_text = {};
  std::vector<std::string> texts(3);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    request.heads.front().scale = static_cast<double>(i);
    engine.submit(request, [&texts, i](std::vector<coala::Reply>&& replies) { texts[i] = replies.front().text; });
  }
  while (engine.step()) {
  }
  for (std::size_t i = 0; i < texts.size(); ++i) std::printf("at scale %zu: %s\n", i, texts[i].c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: generate MODEL HEAD QUESTION\n");
    return 2;
  }
  try {
    return run(argv);
  } catch (const coala::Error& error) {
    std::fprintf(stderr, "%s: %s\n%s\n", coala::error_name(error.code()), error.what(), error.hint().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  return 2;
}
