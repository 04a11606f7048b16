"""The demo: aligns a small language model to the preferences of the tutoring world and lets the exact judge say what
that did to its replies. `make demo` calls it; it writes to out/demo/."""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from comparison import bootstrap, percent, wins, with_interval  # noqa: E402
from make_data import add_sizes, write_data, write_lines  # noqa: E402
from world.judge import judge, read_question  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = "demo/model/tutor-3m-f16.gguf"
CANDIDATES = 8
MAX_TOKENS = 96
# Hardly sharper than the model itself, half of whose text is good, as a base model's is; a temperature of 0.7 would
# leave little to choose from.
SAMPLING = ["--temperature", 1, "--top-p", 0.95, "--top-k", 0]
# 97.5 % quantile of Student's t by degrees of freedom, for the interval over control heads.
STUDENT_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


class Replies:
    """What a model wrote to prompts, in their order, with the judge's verdicts."""

    def __init__(self, turns, lines):
        self.texts = [line["text"] for line in lines]
        self.verdicts = [judge(turn, text) for turn, text in zip(turns, self.texts)]
        self.scores = [verdict.score for verdict in self.verdicts]
        self.mean_score = statistics.fmean(self.scores)
        self.good = statistics.fmean(verdict.good for verdict in self.verdicts)
        self.parses = statistics.fmean(verdict.parses for verdict in self.verdicts)
        # Of the text under the unguided model, at temperature 1.
        self.perplexity = math.exp(-sum(line["log_probability"] for line in lines)
                                   / sum(line["log_probability_tokens"] for line in lines))


class Demo:
    def __init__(self, options):
        self.options = options
        self.out = options.out
        self.data = options.out / "data"
        self.started = time.monotonic()
        self.flops = 0.0

    def coala(self, *arguments):
        """What the program answers; its progress goes to standard error as always."""
        command = [os.environ.get("COALA", str(ROOT / "build/bin/coala")), *map(str, arguments), "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        if done.returncode != 0:
            raise SystemExit(done.returncode)
        answer = json.loads(done.stdout)
        self.flops += answer["flops"]["total"]
        return answer

    def stage(self, text):
        print(f"\n== {text}  [{time.monotonic() - self.started:.0f} s]", flush=True)

    def run(self):
        self.write_data()
        self.stage(f"the model as it is: replies to {len(self.prompts)} questions about unseen subjects")
        self.unguided = Replies(self.turns, self.generate("all", self.prompts, "--guidance", "none"))
        print(f"   exact judge: mean {self.unguided.mean_score:.3f} of 1, {percent(self.unguided.good)} good (at most one "
              f"quality missing), {percent(self.unguided.parses)} in the grammar, "
              f"perplexity {self.unguided.perplexity:.2f}")

        self.stage("coala align on explicit pairs")
        metrics = self.align("pairs", "pairs.jsonl", "pairs.eval.jsonl")
        self.stage("coala align on conversations (Alternating Population Strategy)")
        conversations = self.align("conversations", "conversations.jsonl", "conversations.eval.jsonl")

        self.stage("guided replies, same prompts and seeds")
        results, guided = self.compare()
        self.stage(f"control: {self.options.controls} heads of shuffled preferences")
        results |= self.control()
        self.show_samples(guided)
        self.finish(metrics, conversations, results)

    def write_data(self):
        self.stage("data: questions and answers about three groups of subjects")
        sizes = write_data(self.data, self.options)
        print("   " + ", ".join(f"{count} {name}" for name, count in sizes.items()))
        with open(self.data / "prompts.jsonl", encoding="utf-8") as file:
            self.prompts = [json.loads(line) for line in file]
        self.turns = [prompt["prompt"][-1]["content"] for prompt in self.prompts]
        self.questions = [read_question(turn).item for turn in self.turns]

    def align(self, name, data, eval_data):
        metrics = self.coala("align", "--model", MODEL, "--data", self.data / data, "--eval-data",
                             self.data / eval_data, "--out", self.out / name)
        print(f"   pairs of unseen subjects: head "
              f"{with_interval(metrics['eval_rewards/accuracies'], metrics['eval_rewards/accuracies_ci95'])}, "
              f"logistic regression {percent(metrics['baseline/logistic_accuracy'])}, "
              f"the longer wins {percent(metrics['baseline/length_accuracy'])}")
        return metrics

    def generate(self, name, prompts, *arguments):
        file = self.data / f"prompts.{name}.jsonl"
        write_lines(file, prompts)
        return self.coala("generate", "--model", MODEL, "--data", file, "--max-tokens", MAX_TOKENS, "--seed",
                          self.options.seed, *SAMPLING, *arguments)["replies"]

    def guided(self, head, name, prompts, guidance, candidates=1):
        some = ["--num-candidates", candidates, "--candidates"] if candidates > 1 else []
        return self.generate(name, prompts, "--head", head, "--guidance", guidance, *some)

    def best_of(self, head, name, prompts):
        return self.guided(head, name, prompts, "best-of-n", CANDIDATES)

    def compare(self):
        """Guidance by the head from pairs in all ways and by the one from conversations, beside what length alone and the
        judge itself would choose among unguided replies."""
        print(f"   {'':33s} judge    good    grammar   perplexity   wins over unguided")
        self.show("unguided", self.unguided)
        head = self.out / "pairs/head.safetensors"
        bias, _ = self.show("every token, without context", Replies(
            self.turns, self.guided(head, "all", self.prompts, "bias")))
        token, token_interval = self.show("every token, by the head", Replies(
            self.turns, self.guided(head, "all", self.prompts, "token")))
        lines = self.best_of(head, "all", self.prompts)
        best_of_n, _ = self.show(f"best of {CANDIDATES} by the head", Replies(self.turns, lines))
        guided = Replies(self.turns, self.guided(head, "all", self.prompts, "token", CANDIDATES))
        rate, interval = self.show(f"every token, best of {CANDIDATES}", guided)
        some = len(self.prompts) // 2
        self.show(f"every token, conversations ({some})", Replies(self.turns, self.guided(
            self.out / "conversations/head.safetensors", "some", self.prompts[:some], "token")))
        choices = {"the longest": lambda turn, text: len(text), "the shortest": lambda turn, text: -len(text),
                   "the judge's own choice (limit)": lambda turn, text: judge(turn, text).score}
        for name, value in choices.items():
            self.show(name, Replies(self.turns, [
                max(line["candidates"], key=lambda candidate, turn=turn: value(turn, candidate["text"]))
                for turn, line in zip(self.turns, lines)]))
        return {
            "demo/win_rate": rate, "demo/win_rate_ci95": interval,
            "demo/token_win_rate": token, "demo/token_win_rate_ci95": token_interval,
            "demo/bias_win_rate": bias, "demo/best_of_n_win_rate": best_of_n,
            "demo/most_win_rate": 1 - statistics.fmean(score > 1 - 1e-9 for score in self.unguided.scores) / 2,
            "demo/judge_mean_unguided": self.unguided.mean_score, "demo/judge_mean_guided": guided.mean_score,
            "demo/good_unguided": self.unguided.good, "demo/good_guided": guided.good,
            "demo/parse_rate_unguided": self.unguided.parses, "demo/parse_rate_guided": guided.parses,
            "demo/perplexity_ratio": guided.perplexity / self.unguided.perplexity}, guided

    def show(self, name, replies):
        """A line of the table; the win rate over the unguided replies to the same prompts."""
        count = len(replies.scores)
        won = wins(replies.scores, self.unguided.scores[:count])
        rate, interval = statistics.fmean(won), bootstrap(won, self.questions[:count])
        against = "" if replies is self.unguided else with_interval(rate, interval)
        print(f"   {name:33s} {replies.mean_score:.3f}   {percent(replies.good):>7s}  {percent(replies.parses):>7s}   "
              f"x {replies.perplexity / self.unguided.perplexity:.2f}       {against}", flush=True)
        return rate, interval

    def control(self):
        """What heads of shuffled preferences achieve: each chooses for some of the prompts. A head of noise favours
        something, so it is over heads, not over prompts, that the mean is 50 %, and that the interval is taken."""
        heads = self.options.controls
        share = min(60, len(self.prompts) // heads)
        rates = []
        for k in range(heads):
            head = self.out / f"control/{k}.safetensors"
            head.parent.mkdir(exist_ok=True)
            self.coala("train", "--control", "--features", self.out / "pairs/features/train.safetensors",
                       "--eval-features", self.out / "pairs/features/eval.safetensors", "--out", head, "--seed", k + 1,
                       "--quiet")
            part = slice(k * share, (k + 1) * share)
            lines = self.best_of(head, "control", self.prompts[part])
            rates.append(statistics.fmean(wins(Replies(self.turns[part], lines).scores, self.unguided.scores[part])))
        mean = statistics.fmean(rates)
        half = STUDENT_T[heads - 1] * statistics.stdev(rates) / heads ** 0.5
        print(f"   wins over unguided: {with_interval(mean, [mean - half, mean + half])}, single heads "
              + ", ".join(percent(rate) for rate in rates))
        return {"demo/shuffled_win_rate": mean, "demo/shuffled_win_rate_ci95": [mean - half, mean + half],
                "demo/shuffled_win_rates": rates}

    def show_samples(self, guided):
        print("\n   the same prompts and seeds, unguided and guided (judge):")
        for k in range(3):
            print(f"\n   student    {self.turns[k]}\n"
                  f"   unguided   {self.unguided.texts[k]} ({self.unguided.scores[k]:.1f})\n"
                  f"   guided     {guided.texts[k]} ({guided.scores[k]:.1f})")

    def finish(self, metrics, conversations, results):
        seconds = time.monotonic() - self.started
        metrics |= results | {
            "demo/guidance": f"token, best of {CANDIDATES}", "demo/prompts": len(self.prompts),
            "demo/conversations_accuracy": conversations["eval_rewards/accuracies"],
            "demo/conversations_accuracy_ci95": conversations["eval_rewards/accuracies_ci95"],
            "demo/flops": self.flops, "demo/seconds": seconds}
        write_lines(self.out / "metrics.json", [metrics])
        print(f"\n{seconds:.0f} s, {self.flops / 1e12:.2f} TFLOP.  report: {self.out}/pairs/report.html  "
              f"metrics: {self.out}/metrics.json  head: {self.out}/pairs/head.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/demo"))
    add_sizes(parser, pairs=1200, eval_pairs=600, conversations=500, eval_conversations=250, prompts=500)
    parser.add_argument("--controls", type=int, default=6, choices=range(2, 11))
    options = parser.parse_args()
    os.chdir(ROOT)
    Demo(options).run()


if __name__ == "__main__":
    main()
