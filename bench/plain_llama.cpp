// The rival of bench/speed.py: plain llama.cpp, as its own programs set it up, with nothing of coala in it. Reads
// PROMPT_TOKENS tokens and writes NEW_TOKENS greedily in SEQUENCES texts at once, and prints tokens per second of both.
// Usage: bench_plain_llama MODEL [PROMPT_TOKENS = 256] [NEW_TOKENS = 96] [SEQUENCES = 1] [THREADS = 1]

#include <llama.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int number(int count, char** arguments, int index, int standard) {
  return index < count ? std::atoi(arguments[index]) : standard;
}

void decode(llama_context* context, const llama_batch& batch) {
  if (llama_decode(context, batch) == 0) return;
  std::fprintf(stderr, "llama.cpp could not evaluate the batch\n");
  std::exit(1);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) {
    std::fprintf(stderr, "usage: bench_plain_llama MODEL [PROMPT_TOKENS] [NEW_TOKENS] [SEQUENCES] [THREADS]\n");
    return 2;
  }
  const int prompt_tokens = number(count, arguments, 2, 256);
  const int new_tokens = number(count, arguments, 3, 96);
  const int sequences = number(count, arguments, 4, 1);
  const int threads = number(count, arguments, 5, 1);
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_model* model = llama_model_load_from_file(arguments[1], llama_model_default_params());
  if (model == nullptr) {
    std::fprintf(stderr, "llama.cpp cannot load %s\n", arguments[1]);
    return 1;
  }
  const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
  llama_context_params params = llama_context_default_params();
  params.n_ctx = static_cast<unsigned>(prompt_tokens + sequences * (new_tokens + 1));
  params.n_seq_max = static_cast<unsigned>(sequences);
  params.kv_unified = true;
  params.n_threads = threads;
  params.n_threads_batch = threads;
  llama_context* context = llama_init_from_model(model, params);
  llama_batch batch = llama_batch_init(std::max(prompt_tokens, sequences), 0, 1);
  const auto add = [&](llama_token token, int position, int sequence, bool wanted) {
    const int i = batch.n_tokens++;
    batch.token[i] = token;
    batch.pos[i] = position;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = sequence;
    batch.logits[i] = wanted ? 1 : 0;
  };
  for (int i = 0; i < prompt_tokens; ++i) add((i * 31 + 7) % 2000 + 300, i, 0, i + 1 == prompt_tokens);
  decode(context, batch);  // once without the clock: the pages of the weights come in
  llama_memory_clear(llama_get_memory(context), true);
  const double begun = now_s();
  decode(context, batch);
  const double read = now_s();
  for (int s = 1; s < sequences; ++s) llama_memory_seq_cp(llama_get_memory(context), 0, s, -1, -1);
  std::vector<llama_token> last(static_cast<std::size_t>(sequences), 300);
  const double writing = now_s();
  for (int t = 0; t < new_tokens; ++t) {
    batch.n_tokens = 0;
    for (int s = 0; s < sequences; ++s) add(last[static_cast<std::size_t>(s)], prompt_tokens + t, s, true);
    decode(context, batch);
    for (int s = 0; s < sequences; ++s) {
      const float* logits = llama_get_logits_ith(context, s);
      last[static_cast<std::size_t>(s)] =
          static_cast<llama_token>(std::max_element(logits, logits + vocabulary) - logits);
    }
  }
  const double written = now_s();
  std::printf("%.2f %.2f\n", prompt_tokens / (read - begun), sequences * new_tokens / (written - writing));
  llama_batch_free(batch);
  llama_free(context);
  llama_model_free(model);
}
