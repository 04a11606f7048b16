#!/usr/bin/env python3
"""The demo on a reduced size, from data to guided replies: what preferences teach must show in the judge's score, and
shuffled preferences must teach nothing. Usage: demo_test.py BINARY

The thresholds stand four standard deviations from the mean of ten seeds of this size; mean and deviation are beside
them. The seed of the test is fixed, so that it repeats up to rounding; demo_test.py BINARY SEED prints the metrics of
another.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZE = {"pairs": 400, "eval-pairs": 200, "conversations": 60, "eval-conversations": 40, "prompts": 120, "controls": 8}


def demo(binary, seed, out):
    arguments = [text for name, value in SIZE.items() for text in (f"--{name}", str(value))]
    subprocess.run([sys.executable, ROOT / "demo/run.py", "--out", out, "--seed", str(seed), *arguments], check=True,
                   env=os.environ | {"COALA": binary})
    return json.loads((out / "metrics.json").read_text())


def checks(metrics):
    """(name, figure, whether it holds)"""
    def least(name, value, mean, deviation):
        return name, f"{value:.3f}, at least {mean - 4 * deviation:.3f} expected", value >= mean - 4 * deviation

    def within(name, value, mean, deviation):
        return name, f"{value:.3f}, {mean:.3f} +- {4 * deviation:.3f} expected", abs(value - mean) <= 4 * deviation

    accuracy, win = metrics["eval_rewards/accuracies"], metrics["demo/win_rate"]
    control, low, high = metrics["demo/shuffled_win_rate"], *metrics["demo/shuffled_win_rate_ci95"]
    yield least("head accuracy on unseen subjects", accuracy, 0.902, 0.019)
    yield least("head over logistic regression", accuracy - metrics["baseline/logistic_accuracy"], -0.003, 0.008)
    yield within("accuracy of length alone", metrics["baseline/length_accuracy"], 0.5, 0.5 / SIZE["eval-pairs"] ** 0.5)
    yield least("win rate over unguided replies", win, 0.802, 0.031)
    yield least("win rate of guidance by token alone", metrics["demo/token_win_rate"], 0.769, 0.029)
    yield least("guidance by token over that without context", metrics["demo/token_win_rate"] - metrics["demo/bias_win_rate"],
                0.098, 0.029)
    yield least("win rate of the best of eight", metrics["demo/best_of_n_win_rate"], 0.735, 0.031)
    yield least("gain of the judge's score", metrics["demo/judge_mean_guided"] - metrics["demo/judge_mean_unguided"],
                0.220, 0.026)
    yield within("share of good unguided replies", metrics["demo/good_unguided"], 0.543, 0.045)
    yield least("share of guided replies in the grammar", metrics["demo/parse_rate_guided"], 0.999, 0.003)
    yield least("unguided over guided perplexity", 1 / metrics["demo/perplexity_ratio"], 1.050, 0.019)
    yield within("win rate of shuffled preferences", control, 0.5, 0.060)
    yield "its interval", f"[{low:.3f}, {high:.3f}], 0.5 inside expected", low <= 0.5 <= high
    yield least("win rate over that of shuffled preferences", win - control, 0.327, 0.054)


def main():
    binary = os.path.abspath(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with tempfile.TemporaryDirectory() as folder:
        metrics = demo(binary, seed, pathlib.Path(folder))
    if len(sys.argv) > 2:
        print(json.dumps({key: value for key, value in metrics.items() if key.startswith(("demo/", "eval_rew", "base"))}))
        return
    failed = [f"{name}: {shown}" for name, shown, holds in checks(metrics) if not holds]
    print("\n".join(failed) or "all checks hold")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
