#!/usr/bin/env python3
"""`coala judge` before a scripted endpoint. "kills": ended by SIGKILL at random moments, nothing that the transcript has is asked
again, and the end is what it is without kills. "biases": in simulations with planted biases (place, length, noise, refusals,
malformed and cut answers, 429 and 5xx) the intervals hold the planted values as often as they say.
Usage: judge.py BINARY kills|biases COUNT [SEED [PAIRS]]"""

import json
import math
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from scripted_endpoint import KEY, Endpoint  # noqa: E402

BINARY, WHAT, COUNT = os.path.abspath(sys.argv[1]), sys.argv[2], int(sys.argv[3])
SEED, PAIRS = (int(sys.argv[k]) if len(sys.argv) > k else standard for k, standard in ((4, 1), (5, 250)))
ENVIRONMENT = os.environ | {"COALA_JUDGE_KEY": KEY}
SERVER = Endpoint()


def command(*more):
    return [BINARY, "judge", "--replies", "new.jsonl", "--against", "old.jsonl", "--transcript", "t.jsonl", "--endpoint", SERVER.url,
            "--judge-model", "m", "--wait", "0.01", "--json", "--quiet", *map(str, more)]


def write(folder, lengths):
    """Replies that say their length themselves, which is what the scripted judge looks at."""
    for name, k in (("new", 0), ("old", 1)):
        with open(folder / f"{name}.jsonl", "w", encoding="utf-8") as file:
            for i, pair in enumerate(lengths):
                print(json.dumps({"id": str(i), "prompt": f"question {i}", "text": f"{name} ".ljust(pair[k], "n")}), file=file)


def result_of(folder, *more):
    done = subprocess.run(command(*more), cwd=folder, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["comparisons"][0]["judges"][0]


def kills(folder):
    draw = random.Random(SEED)
    parallel, ended, kept, asked_before = 3, 0, set(), {}
    write(folder, [[draw.randint(5, 60), draw.randint(5, 60)] for _ in range(40 + 3 * COUNT)])
    SERVER.reset(seconds=0.01)
    for _ in range(COUNT):
        process = subprocess.Popen(command("--parallel", parallel), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=ENVIRONMENT)
        try:
            process.wait(draw.uniform(0.005, 0.1))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            ended += 1
        time.sleep(0.03)  # until what was under way is over
        again = [body for body in kept if SERVER.asked[body] > asked_before[body]]
        assert not again, f"asked again: {again[0]!r}"
        content = (folder / "t.jsonl").read_bytes() if (folder / "t.jsonl").exists() else b""
        whole = content[:content.rfind(b"\n") + 1].splitlines()
        messages = {json.dumps(json.loads(line)["request"]["messages"]) for line in whole}
        kept = {body for body in SERVER.asked if json.dumps(json.loads(body)["messages"]) in messages}
        asked_before = dict(SERVER.asked)
    before = len(kept)
    judged = result_of(folder, "--parallel", parallel)
    (folder / "t.jsonl").unlink()
    assert judged == result_of(folder, "--parallel", 1), "kills change the table"
    print(f"{ended} of {COUNT} runs ended by SIGKILL, {before} answers kept by then, none of them asked again")
    return 0


def biases(folder):
    """A judge who prefers the new reply with probability sigmoid(quality + slope tanh(length difference / its root mean
    square)) and, one time in five, the one in front."""
    front, quality, slope, deviation = 0.2, 0.4, 1.0, 30
    draw = random.Random(SEED)
    sigmoid = lambda z: 1 / (1 + math.exp(-z))  # noqa: E731
    prefers = lambda longer: sigmoid(quality + slope * math.tanh(longer / deviation))  # noqa: E731
    rate = sum(prefers(draw.gauss(0, deviation)) for _ in range(200_000)) / 200_000

    def judge(first, second, noise):
        new_first = first.startswith("new")
        longer = len(first) - len(second) if new_first else len(second) - len(first)
        return f"[[{1 if (noise.random() < prefers(longer)) == new_first else 2}]]"
    truths = {"win rate": (1 - front) * rate + front / 2, "first place": 0.5 + front / 2, "at equal lengths": sigmoid(quality),
              "slope": slope}
    held = dict.fromkeys(truths, 0)
    estimates = {name: [] for name in truths}
    left_out = 0
    for k in range(COUNT):
        lengths = [[max(5, round(200 + draw.gauss(0, deviation))), 200] for _ in range(PAIRS)]
        write(folder, lengths)

        def run(**more):
            (folder / "t.jsonl").unlink(missing_ok=True)
            SERVER.reset(judge=judge, seconds=0, seed=f"{SEED} {k}", fails=1, refused=0.03, malformed=0.03, cut=0.03, **more)
            return result_of(folder, "--parallel", 8)
        judged, fair = run(front=front), run()
        left_out += judged["left_out"]
        found = {"win rate": {"value": judged["win_rate"], "ci95": judged["win_rate_clustered95"]},
                 "first place": judged["first_place_wins"], "at equal lengths": fair["at_equal_lengths"], "slope": fair["length_slope"]}
        for name, one in found.items():
            held[name] += one["ci95"][0] <= truths[name] <= one["ci95"][1]
            estimates[name].append(one["value"])
    bad = 0
    for name, count in held.items():
        # What a right interval of 95 % stays within, but for one time in a thousand.
        spread = 3.3 * math.sqrt(0.95 * 0.05 / COUNT)
        bad += abs(count / COUNT - 0.95) > spread
        print(f"{name:<18} {100 * count / COUNT:5.1f} % of {COUNT} intervals hold {truths[name]:.3f}; estimates: "
              f"{statistics.mean(estimates[name]):.3f}, standard deviation {statistics.pstdev(estimates[name]):.3f}")
    print(f"{left_out / COUNT:.1f} of {PAIRS} pairs without a verdict")
    return 1 if bad else 0


with tempfile.TemporaryDirectory() as place:
    sys.exit({"kills": kills, "biases": biases}[WHAT](pathlib.Path(place)))
