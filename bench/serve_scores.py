#!/usr/bin/env python3
"""Many clients that have one text each scored by a server, beside `coala score` of the same texts.

    bench/serve_scores.py --coala build/bin/coala --model model.gguf --head head.safetensors --data replies.jsonl
                          [--clients 64] [--rounds 3] [--threads 2]

`replies.jsonl` is what `coala generate` writes. Printed: texts a second of both, in turn (of `coala score` without its
start, which is the time that it takes for one text), their ratio, and whether all scores are the same.
"""

import argparse
import concurrent.futures
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from serve_soak import Server


def batch_scores(options, rows):
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "rows.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        start = time.monotonic()
        printed = subprocess.run([options.coala, "score", "--model", options.model, "--head", options.head, "--data", data,
                                  "--threads", str(options.threads), "--quiet"], check=True, text=True,
                                 stdout=subprocess.PIPE).stdout
        seconds = time.monotonic() - start
    return [json.loads(line)["score"] for line in printed.splitlines()], seconds


def served_scores(options, server, rows):
    def score(row):
        body = {"queries": row["prompt"][-1]["content"], "documents": [row["text"]]}
        return server.post("/v1/score", body)["data"][0]["score"]

    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(options.clients) as clients:
        scores = list(clients.map(score, rows))
    return scores, time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coala", default="build/bin/coala")
    parser.add_argument("--model", required=True)
    parser.add_argument("--head", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    rows = [json.loads(line) for line in pathlib.Path(options.data).read_text().splitlines()]
    rows = [row for row in rows if row["text"].strip() and len(row["prompt"]) == 1]
    server = Server(options, "--head", options.head, "--queue", str(options.clients))
    ratios, same = [], True
    for _ in range(options.rounds):
        _, start = batch_scores(options, rows[:1])
        batch, seconds = batch_scores(options, rows)
        served, seconds_served = served_scores(options, server, rows)
        same = same and batch == served
        alone, together = (len(rows) - 1) / (seconds - start), len(rows) / seconds_served
        ratios.append(together / alone)
        print(f"texts a second: coala score {alone:.2f}, {options.clients} clients {together:.2f}", flush=True)
    server.stop()
    print(f"served over batch: {statistics.median(ratios):.3f} [{min(ratios):.3f}, {max(ratios):.3f}], "
          f"scores {'the same' if same else 'DIFFER'}, {len(rows)} texts")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
