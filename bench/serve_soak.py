#!/usr/bin/env python3
"""Many clients at once on one server, for a while: each asks for streams one after the other, and some leave in the
middle. Says what went wrong, what was left, and how fast it was.

    bench/serve_soak.py --coala build/bin/coala --model demo/model/tutor-3m-f16.gguf [--seconds 300] [--clients 32]
                        [--leaving 0.2] [--parallel 15] [--queue 64] [--tokens 64] [--threads 2] [--seed 1]

Printed, and as JSON with --json FILE: replies, errors and clients that waited a minute for a byte; what the server held
afterwards (requests, cells of the cache); its memory over time; tokens per second beside `coala generate` with prompts
of the same kind and the same settings, before and after; the time to the first text; /health meanwhile; and how many
steps the engine took for a reply after its client had left. Ends with status 1 when something went wrong.
"""

import argparse
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

STUCK_S = 60
THINGS = ["tides", "a hen", "the moon", "rain", "bread", "a river", "snow", "the sun", "trees", "a clock", "salt", "wind"]
SAMPLING = {"temperature": 1, "top_p": 1, "top_k": 0}


def prompt(draw):
    return f"{draw.choice(['Why are there', 'Tell me of', 'What is good about'])} {draw.choice(THINGS)} and {draw.choice(THINGS)}?"


class Server:
    def __init__(self, options, *more):
        self.process = subprocess.Popen([options.coala, "serve", "--model", options.model, "--port", "0", "--threads",
                                         str(options.threads), *more], text=True, stderr=subprocess.PIPE,
                                        # Of a shell's background job Ctrl-C is ignored, and what it starts inherits that.
                                        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        for line in self.process.stderr:
            found = re.search(r"http://127\.0\.0\.1:(\d+)/v1", line)
            if found:
                self.port = int(found[1])
                return
        raise SystemExit("the server did not start")

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=STUCK_S) as answer:
            return answer.read().decode()

    def post(self, path, body):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=STUCK_S) as answer:
            return json.load(answer)

    def metrics(self):
        lines = [line.rsplit(" ", 1) for line in self.get("/metrics").splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    def rested(self):
        """The metrics once nobody is served."""
        for _ in range(200):
            now = self.metrics()
            if now["coala_replies_writing"] + now["coala_requests_waiting"] == 0:
                return now
            time.sleep(0.05)
        return now

    def memory_kb(self):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])

    def connect(self, body):
        data = json.dumps(body).encode()
        client = socket.create_connection(("127.0.0.1", self.port), timeout=STUCK_S)
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                       + str(len(data)).encode() + b"\r\n\r\n" + data)
        return client

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


def events(client):
    """The data of a stream, as it comes; what is not a stream is an error."""
    with client.makefile("rb") as file:
        status = file.readline().decode().strip()
        if " 200 " not in status:
            raise ValueError(status)
        for line in file:
            if line.startswith(b"data: "):
                yield line[6:].strip()


class Clients:
    def __init__(self, server, options):
        self.server, self.options = server, options
        self.lock = threading.Lock()
        self.ends = time.monotonic() + options.seconds
        self.first, self.errors = [], []
        self.whole = self.left = self.stuck = self.texts_of_left = 0
        self.threads = [threading.Thread(target=self.run, args=(random.Random(f"{options.seed} {i}"),))
                        for i in range(options.clients)]
        for thread in self.threads:
            thread.start()

    def run(self, draw):
        while time.monotonic() < self.ends:
            leaves = draw.random() < self.options.leaving
            latest = draw.randrange(self.options.tokens) if leaves else None
            body = {"messages": [{"role": "user", "content": prompt(draw)}], "max_tokens": self.options.tokens,
                    "seed": draw.randrange(2**31), "stream": True, **SAMPLING}
            try:
                self.read(body, latest)
            except TimeoutError:
                with self.lock:
                    self.stuck += 1
            except (OSError, ValueError) as error:
                with self.lock:
                    self.errors.append(f"{type(error).__name__}: {error}")

    def read(self, body, latest):
        start = time.monotonic()
        first, texts, last, ended = None, 0, None, False
        with self.server.connect(body) as client:
            for data in events(client):
                if latest is not None and texts >= latest:
                    break
                if data == b"[DONE]":
                    ended = True
                    continue
                last = json.loads(data)
                if "error" in last:
                    raise ValueError(last["error"]["message"])
                if last["choices"][0]["delta"].get("content"):
                    texts += 1
                    first = first or time.monotonic() - start
        with self.lock:
            if first is not None:
                self.first.append(first)
            if ended and last["choices"][0]["finish_reason"]:
                self.whole += 1
            elif latest is not None:
                self.left += 1
                self.texts_of_left += texts
            else:
                self.errors.append("a stream without an end")


def steps_after_leaving(server, options, count=20):
    """Steps of the engine from a client's leaving to the end of its reply, when nobody else is served."""
    steps, seconds = [], []
    draw = random.Random(options.seed)
    for _ in range(count):
        body = {"messages": [{"role": "user", "content": prompt(draw)}], "stream": True, "seed": draw.randrange(2**31),
                **SAMPLING}
        with server.connect(body) as client:
            stream = events(client)
            for _ in range(5):
                next(stream)
            stream.close()
        start = time.monotonic()
        now = before = server.metrics()
        while now["coala_replies_writing"] > 0:
            now = server.metrics()
        steps.append(now["coala_steps_total"] - before["coala_steps_total"])
        seconds.append(time.monotonic() - start)
    return steps, seconds


def batch_speed(options, count=200):
    """Tokens a second of `coala generate`."""
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        path, out = os.path.join(folder, "prompts.jsonl"), os.path.join(folder, "replies.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"prompt": prompt(draw)}) + "\n" for _ in range(count))
        start = time.monotonic()
        subprocess.run([options.coala, "generate", "--model", options.model, "--data", path, "--out", out, "--quiet",
                        "--max-tokens", str(options.tokens), "--temperature", "1", "--top-p", "1", "--top-k", "0",
                        "--threads", str(options.threads)], check=True)
        seconds = time.monotonic() - start
        with open(out, encoding="utf-8") as file:
            replies = [json.loads(line) for line in file]
    return sum(one["tokens"] for one in replies if "tokens" in one) / seconds


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coala", default="build/bin/coala")
    parser.add_argument("--model", required=True)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--leaving", type=float, default=0.2, help="share of streams whose client leaves")
    parser.add_argument("--parallel", type=int, default=15, help="replies together; coala generate has 15")
    parser.add_argument("--queue", type=int, default=64, help="requests that may wait")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", help="file for the figures")
    options = parser.parse_args()

    batch = [batch_speed(options)]
    server = Server(options, "--parallel", str(options.parallel), "--queue", str(options.queue))
    clients = Clients(server, options)
    memory, health = [], []
    while time.monotonic() < clients.ends:
        start = time.monotonic()
        server.get("/health")
        health.append(time.monotonic() - start)
        memory.append(server.memory_kb())
        time.sleep(0.5)
    tokens = (server.metrics()["coala_reply_tokens_total"] + clients.texts_of_left) / options.seconds
    for thread in clients.threads:
        thread.join(2 * STUCK_S)
    alive = sum(thread.is_alive() for thread in clients.threads)
    left = server.rested()
    steps, seconds = steps_after_leaving(server, options)
    status = server.stop()
    batch.append(batch_speed(options))

    fifth = max(1, len(memory) // 5)
    early, late = statistics.median(memory[fifth:2 * fifth]), statistics.median(memory[-fifth:])
    figures = {
        "seconds": options.seconds, "clients": options.clients, "replies": clients.whole, "left": clients.left,
        "errors": len(clients.errors), "stuck": clients.stuck + alive,
        "cells_left": left["coala_cells_held"], "writing_left": left["coala_replies_writing"],
        "waiting_left": left["coala_requests_waiting"], "dropped": left["coala_dropped_total"],
        "memory_mb": [early / 1024, late / 1024], "memory_growth": late / early - 1,
        "tokens_per_s": tokens, "batch_tokens_per_s": batch,
        "first_text_s": {"median": quantile(clients.first, 0.5), "99 %": quantile(clients.first, 0.99)},
        "health_s": {"median": quantile(health, 0.5), "most": max(health)},
        "steps_after_leaving": {"median": quantile(steps, 0.5), "most": max(steps, default=0), "of": len(steps)},
        "seconds_after_leaving": {"median": quantile(seconds, 0.5), "most": max(seconds, default=0)},
    }
    for name, value in figures.items():
        print(f"{name}: {value}", flush=True)
    for error in sorted(set(clients.errors))[:10]:
        print("  ", error)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)
    bad = figures["errors"] + figures["stuck"] + figures["cells_left"] + figures["writing_left"] + figures["waiting_left"]
    return 1 if bad or status != 130 else 0


if __name__ == "__main__":
    sys.exit(main())
