#!/usr/bin/env python3
"""Teaching a served model lesson by lesson: an exact rule compares two replies to each of some prompts through
/v1/feedback, and replies to unseen prompts are counted with the head that came of it and without.

    bench/rules/teach.py --coala build/bin/coala --model smollm2.gguf [--rules "short sentences,casual"] [--lessons 30]
                         [--seed 1] [--threads 2] [--show 5]

Replies are drawn by the model as it is, at temperature 1; prompts whose replies the rule does not tell apart are passed
over, as a person would. Prints the share of replies that follow the rule, with the paired difference, seconds from
lesson to head, and how accuracy on the lessons grew.
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import tempfile
import time
import urllib.request

from prompts import KINDS
from rules import RULES
from run import difference, repetition

TOKENS = 80
UNSEEN = 40


class Server:
    def __init__(self, options, pairs):
        self.process = subprocess.Popen([options.coala, "serve", "--model", options.model, "--port", "0", "--teach", pairs,
                                         "--parallel", "8", "--threads", str(options.threads)], text=True,
                                        stderr=subprocess.PIPE)
        for line in self.process.stderr:
            found = re.search(r"http://127\.0\.0\.1:(\d+)/v1", line)
            if found:
                self.address = f"http://127.0.0.1:{found[1]}"
                return
        raise SystemExit("the server did not start")

    def ask(self, path, body=None):
        request = urllib.request.Request(self.address + path, None if body is None else json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            return json.loads(response.read())

    def replies(self, prompt, seed, count=1, **fields):
        answer = self.ask("/v1/chat/completions", {
            "messages": [{"role": "user", "content": prompt}], "max_tokens": TOKENS, "seed": seed, "n": count,
            "temperature": 1, "top_p": 1, "top_k": 0, **fields})
        return [(one["message"]["content"], one["finish_reason"] == "stop") for one in answer["choices"]]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def measure(options, rule):
    draw = random.Random(options.seed)
    prompts = [(kind, prompt) for kind, all_of in KINDS.items() for prompt in all_of]
    draw.shuffle(prompts)
    unseen, seen = prompts[:UNSEEN], prompts[UNSEEN:]
    follows = RULES[rule][1]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(options, os.path.join(folder, "pairs.jsonl"))
        seconds, grown = [], []
        lessons = asked = 0
        for number, (kind, prompt) in enumerate(seen):
            if lessons == options.lessons:
                break
            asked += 1
            texts = server.replies(prompt, seed=1000 + 10 * number + options.seed, count=4, heads={})
            good = [text for text, ended in texts if follows(kind, text, ended)]
            bad = [text for text, ended in texts if text.strip() and not follows(kind, text, ended)]
            if not good or not bad:
                continue
            start = time.monotonic()
            report = server.ask("/v1/feedback", {"messages": [{"role": "user", "content": prompt}], "chosen": good[0],
                                                 "rejected": bad[0]})
            seconds.append((time.monotonic() - start, report["seconds"]["evaluation"], report["seconds"]["solution"]))
            grown.append(report["accuracy"]["value"])
            lessons += 1
        followed, texts_of = {}, {}
        for way, heads in (("plain", {}), ("taught", {"taught": 1})):
            rows = [server.replies(prompt, seed=options.seed, heads=heads)[0] for _, prompt in unseen]
            followed[way] = [follows(kind, text, ended) for (kind, _), (text, ended) in zip(unseen, rows)]
            texts_of[way] = [{"text": text} for text, _ in rows]
        server.stop()
    mean, low, high = difference(followed["taught"], followed["plain"])
    beyond = [whole - evaluation for whole, evaluation, _ in seconds]
    print(f"{rule}, seed {options.seed}: {lessons} lessons of {asked} prompts; rule followed {sum(followed['plain'])} of "
          f"{UNSEEN} as it is, {sum(followed['taught'])} taught ({mean:+.0f} points [{low:+.0f}, {high:+.0f}]); repeated runs "
          f"{repetition(texts_of['plain']):.3f}, {repetition(texts_of['taught']):.3f}; lesson to head "
          f"{statistics.median(beyond):.3f} s beyond {statistics.median(e for _, e, _ in seconds):.2f} s of evaluation; "
          f"accuracy after 10, 20, all: {', '.join(f'{grown[i]:.2f}' for i in (9, 19, -1) if -len(grown) <= i < len(grown))}",
          flush=True)
    return texts_of


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coala", default="build/bin/coala")
    parser.add_argument("--model", required=True)
    parser.add_argument("--rules", default="short sentences,casual,plain prose")
    parser.add_argument("--lessons", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--show", type=int, default=0, help="taught replies to print")
    options = parser.parse_args()
    for rule in options.rules.split(","):
        for row in measure(options, rule)["taught"][:options.show]:
            print("  ", json.dumps(row["text"]))


if __name__ == "__main__":
    main()
