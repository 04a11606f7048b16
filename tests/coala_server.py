"""A server under test, and a head for it. Used by the tests serve_*_test.py."""

import atexit
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

QUESTION = "the hen and the inn"
TOKENS = 24


def pairs():
    for i in range(60):
        yield {"prompt": f"Question {i % 20}?", "chosen": f"the hen {i}", "rejected": f"a tree, maybe {i}"}


class Server:
    """`coala serve` at a free port. What it says on standard error is in `said` once it is stopped."""

    def __init__(self, binary, model, *arguments, key=None, variables=None):
        environment = {**os.environ, **({"COALA_API_KEY": key} if key else {}), **(variables or {})}
        self.process = subprocess.Popen([binary, "serve", "--model", model, "--port", "0", *arguments], text=True,
                                        stderr=subprocess.PIPE, env=environment,
                                        # Of a shell's background job Ctrl-C is ignored, and what it starts inherits that.
                                        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        atexit.register(self.process.kill)  # of tests that fail
        self.port = None
        for line in self.process.stderr:
            found = re.search(r"http://127\.0\.0\.1:(\d+)/v1", line)
            if found:
                self.port = int(found[1])
                break
        assert self.port, "the server did not start"

    def ask(self, path, body=None, headers=None, method=None):
        return self.answer(path, body, headers, method)[:2]

    def answer(self, path, body=None, headers=None, method=None):
        """Status, text and headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        connection.request(method or ("GET" if data is None else "POST"), path, data,
                           {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        text = response.read().decode("utf-8")
        connection.close()
        return response.status, text, dict(response.getheaders())

    def raw(self, data, patience=10):
        """What comes back for these bytes until the connection ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=patience) as client:
            client.sendall(data)
            got = b""
            while piece := client.recv(65536):
                got += piece
        return got

    def metrics(self):
        """{"name{labels}": value}"""
        status, text = self.ask("/metrics")
        assert status == 200
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                if not line.startswith("#")}

    def json(self, path, body=None, status=200):
        got, text = self.ask(path, body)
        assert got == status, (got, text)
        return json.loads(text)

    def chat(self, status=200, **fields):
        body = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": TOKENS, "seed": 5, **fields}
        return self.json("/v1/chat/completions", body, status)

    def stream(self, path="/v1/chat/completions", **fields):
        body = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": TOKENS, "seed": 5, "stream": True,
                **fields}
        status, text = self.ask(path, body)
        assert status == 200, text
        lines = [line[6:] for line in text.split("\n\n") if line]
        assert lines[-1] == "[DONE]", text
        return [json.loads(line) for line in lines[:-1]]

    def rested(self):
        """The health once nobody is served, or after ten seconds: an answer arrives before its place is given back."""
        for _ in range(100):
            health = self.json("/health")
            if health["writing"] + health["waiting"] + health["items_waiting"] == 0:
                break
            time.sleep(0.1)
        return health

    def signal(self, number):
        self.process.send_signal(number)
        if "TSAN_OPTIONS" in os.environ:  # the thread sanitizer keeps signals back while a thread is in accept()
            while self.process.poll() is None:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", self.port)).close()
                time.sleep(0.5)

    def stop(self):
        self.signal(signal.SIGINT)
        start = time.monotonic()
        status = self.process.wait(20)
        self.said = self.process.stderr.read()
        self.process.stderr.close()
        return status, time.monotonic() - start


def align(binary, model, folder, name, seed=0, token_rank=4):
    """Writes folder/name/head.safetensors, a head with a reward network and, where the rank is not 0, a token head."""
    path = os.path.join(folder, "pairs.jsonl")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(pair) + "\n" for pair in pairs())
    subprocess.run([binary, "align", "--model", model, "--data", path, "--out", os.path.join(folder, name), "--seed",
                    str(seed), "--quiet", "--token-rank", str(token_rank)], check=True, stdout=subprocess.DEVNULL)
    return os.path.join(folder, name, "head.safetensors")


def start(case, binary, model):
    """Gives a test class a folder, a head in it and a server with that head. Undone by stop()."""
    case.folder = tempfile.mkdtemp(prefix="coala-serve-")
    case.head = align(binary, model, case.folder, "hens")
    case.server = Server(binary, model, "--head", case.head)


def stop(case):
    case.server.stop()
    shutil.rmtree(case.folder)
