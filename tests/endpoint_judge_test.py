#!/usr/bin/env python3
"""tools/endpoint_judge.py against a server of our own: order, retries, errors, and that the key stays secret. Usage:
endpoint_judge_test.py"""

import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

JUDGE = pathlib.Path(__file__).resolve().parent.parent / "tools/endpoint_judge.py"
KEY = "sk-not-to-be-seen"


class Handler(http.server.BaseHTTPRequestHandler):
    """What it does is in the reply that is to be marked: "mark 7", "later 3", "always 503", "say ...", "refuse"."""
    seen = {}
    lock = threading.Lock()
    now, most = 0, 0

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = body["messages"][1]["content"].split("The reply to mark:\n\n")[1]
        with self.lock:
            count = self.seen[reply] = self.seen.get(reply, 0) + 1
            Handler.now += 1
            Handler.most = max(Handler.most, Handler.now)
        time.sleep(0.005)  # so that requests meet
        with self.lock:
            Handler.now -= 1
        kind, _, rest = reply.partition(" ")
        told = (self.path, body["model"], self.headers["Authorization"])
        if told != ("/v1/chat/completions", "m", f"Bearer {KEY}"):
            self.answer(400, "wrong request")
        elif kind == "refuse":
            self.answer(401, "no such key")
        elif kind == "always" or (kind == "later" and count < 3):
            self.answer(int(rest) if kind == "always" else 429, "too busy")
        else:
            text = rest if kind == "say" else f"Mark: {rest.split()[0]}/10."
            self.answer(200, json.dumps({"choices": [{"message": {"content": text}}]}))

    def answer(self, status, text):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments):
        pass


def run(url, responses, prompt="Why?"):
    lines = "".join(json.dumps({"id": str(i), "prompt": prompt, "response": text}) + "\n"
                    for i, text in enumerate(responses))
    return subprocess.run([sys.executable, JUDGE, "--url", url, "--model", "m", "--wait", "0.01", "--retries", "3"],
                          input=lines, capture_output=True, text=True, env={**os.environ, "COALA_JUDGE_KEY": KEY})


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    failures = []

    def expect(what, good, done):
        if KEY in done.stdout + done.stderr:
            failures.append(f"{what}: the key is shown")
        if not good:
            failures.append(f"{what}: status {done.returncode}, {done.stdout!r}, {done.stderr!r}")

    marks = [1 + i % 10 for i in range(60)]
    done = run(url, [f"{'later' if i % 7 == 0 else 'mark'} {mark} {i}" for i, mark in enumerate(marks)])
    scores = [json.loads(line)["score"] for line in done.stdout.splitlines()]
    expect("marks in order, some after a 429", scores == [(mark - 1) / 9 for mark in marks], done)
    expect("four requests at a time", 2 <= Handler.most <= 4, done)
    done = run(url, ["mark 10"], [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    expect("messages", done.stdout == '{"score": 1.0}\n', done)
    for text, score in (("8.", 7 / 9), ("I give it 10", 1.0), ("**3**", 2 / 9), ("score=5\n", 4 / 9)):
        done = run(url, [f"say {text}"])
        expect(text, done.returncode == 0 and json.loads(done.stdout)["score"] == score, done)
    for text in ("12", "0", "none", "7.5 of it", "100"):
        done = run(url, ["mark 1", f"say {text}"])
        expect(text, done.returncode == 1 and done.stdout == "" and "no mark" in done.stderr, done)
    for reply, told, tries in (("always 503", "answers 503: 'too busy'", 4),
                               ("refuse", "answers 401: 'no such key'", 1)):
        done = run(url, [reply])
        expect(reply, done.returncode == 1 and done.stdout == "" and told in done.stderr, done)
        expect(f"tries of {reply}", Handler.seen[reply] == tries, done)
    server.shutdown()
    server.server_close()
    done = run(url, ["mark 1"])
    expect("no server", done.returncode == 1 and "cannot reach" in done.stderr, done)
    for failure in failures:
        print("FAILED:", failure)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
