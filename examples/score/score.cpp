// What a head thinks of answers to a question.
// Usage: score MODEL HEAD QUESTION ANSWER ...

#include <coala/lm.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace {

int run(int argc, char** argv) {
  const coala::Model model({.path = argv[1]});
  const coala::Head head = coala::Head::load(argv[2]);
  const coala::Prompt question{.messages = {{"user", argv[3]}}, .text = ""};
  const std::vector<std::string> answers(argv + 4, argv + argc);
  const std::vector<double> scores = coala::score(model, head, question, answers);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    std::printf("%+.4f  %.3f  %s\n", scores[i], head.probability(scores[i]), answers[i].c_str());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: score MODEL HEAD QUESTION ANSWER ...\n");
    return 2;
  }
  try {
    return run(argc, argv);
  } catch (const coala::Error& error) {
    std::fprintf(stderr, "%s: %s\n%s\n", coala::error_name(error.code()), error.what(), error.hint().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  return 2;
}
