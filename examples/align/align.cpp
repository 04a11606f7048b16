// The whole job, from a model and preferences to a file for llama.cpp's programs; Ctrl-C stops it, and the same command
// goes on where it was.
// Usage: align MODEL FOLDER PREFERENCES ...

#include <coala/lm.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

namespace {

class Terminal : public coala::NewsSink {
 public:
  void line(const std::string& text) override { std::fprintf(stderr, "%s\n", text.c_str()); }
  void warning(const std::string& text) override { std::fprintf(stderr, "warning: %s\n", text.c_str()); }
  void progress(const coala::ProgressState& state) override {
    if (state.ended) std::fprintf(stderr, "%s: %.1f s\n", state.stage.c_str(), state.elapsed_s);
  }
};

coala::Cancellation g_stop;

int run(int argc, char** argv) {
  Terminal terminal;
  std::signal(SIGINT, [](int) { g_stop.cancel(); });
  const coala::Context context{.news = &terminal, .cancellation = g_stop};

  coala::AlignSettings settings;
  settings.model.path = argv[1];
  settings.out = argv[2];
  settings.data.assign(argv + 3, argv + argc);
  const coala::Alignment alignment = coala::align(settings, context);
  std::printf("%s\n", alignment.verdict.c_str());
  std::printf("held-out accuracy: %.3f [%.3f, %.3f]\n", alignment.accuracy.value, alignment.accuracy.low,
              alignment.accuracy.high);
  if (!alignment.guides) return 0;

  const coala::Model model(settings.model, context);
  const coala::Head head = coala::Head::load(alignment.head);
  const std::filesystem::path out = settings.out / "guided.gguf";
  const coala::Exported exported =
      coala::export_guidance(model, head, out, {.format = coala::ExportFormat::Gguf}, context);
  std::printf("%s: %llu bytes", out.c_str(), static_cast<unsigned long long>(exported.bytes));
  if (exported.divergence) std::printf(", %.5f nats per token from the guided model", *exported.divergence);
  std::printf("\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: align MODEL FOLDER PREFERENCES ...\n");
    return 2;
  }
  try {
    return run(argc, argv);
  } catch (const coala::Error& error) {
    std::fprintf(stderr, "%s: %s\n%s\n", coala::error_name(error.code()), error.what(), error.hint().c_str());
    return error.code() == coala::ErrorCode::Interrupted ? 130 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  return 2;
}
