#!/usr/bin/env python3
"""`coala serve` under clients that are wrong, slow, gone or somebody else's: every answer is a status below 500 with an
error that says why, nothing of it reaches the file system, and the server is well afterwards.
Usage: serve_hostile_test.py BINARY MODEL.gguf"""

import concurrent.futures
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True

from coala_server import QUESTION, Server, start, stop  # noqa: E402

CHAT = "/v1/chat/completions"


def head_of(path=CHAT, method="POST", version="HTTP/1.1", host="localhost", lines=()):
    first = [f"{method} {path} {version}", *([f"Host: {host}"] if host is not None else []), *lines]
    return ("\r\n".join(first) + "\r\n\r\n").encode("latin-1")


def statuses_in(answer):
    return [int(part.split(b" ", 2)[0]) for part in answer.split(b"HTTP/1.1 ")[1:]]


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        start(cls, BINARY, MODEL)
        cls.body = json.dumps({"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 4})

    @classmethod
    def tearDownClass(cls):
        stop(cls)

    def tearDown(self):
        health = self.server.rested()
        self.assertEqual((health["status"], health["writing"], health["waiting"], health["items_waiting"]),
                         ("ok", 0, 0, 0))
        self.assertEqual(self.server.metrics()["coala_cells_held"], 0)

    def test_bodies(self):
        """Malformed JSON and UTF-8, and values of the wrong kind in every field that is described."""
        bodies = [b"", b"null", b"[]", b"7", b'"x"', b"{", b"}", b'{"a":}', b"{'a': 1}", b'{"messages":', b"\xef\xbb\xbf{}",
                  b"\xff\xfe{\x00}\x00", b'{"messages": "\xed\xa0\x80"}', b'{"messages": "\xc0\xaf"}', b'{"a": NaN}',
                  b'{"a": 1e999}', b'{"max_tokens": 99999999999999999999999}', b'{"a": 01}', b'{"a": "\\ud800"}',
                  b'{"a": "\\x"}', b"{} {}", b"{}\x00", b'{"a": 1,}', b"/*x*/{}", b"[" * 100_000, b'{"a":' * 100_000,
                  b'{"prompt": "' + b"\\u0000" * 10 + b'"}', b"\x00" * 1000, b"\x1f\x8b\x08\x00garbage"]
        posts = [path for path, methods in self.server.json("/openapi.json")["paths"].items() if "post" in methods]
        self.assertGreater(len(posts), 12)
        for path in posts:
            for body in bodies:
                status, text = self.server.ask(path, body)
                self.assertIn(status, (200, 400, 413), (path, body[:50], text))
                if status != 200:
                    self.assertTrue(json.loads(text)["error"]["message"], (path, body[:50]))

    def test_values_of_every_kind(self):
        """For each described field values of every kind: never a 5xx, and what conforms to the schema is not refused as
        a value of the wrong kind."""
        values = [None, True, False, 0, 1, -1, 2**63, -2**63, 0.5, 1e300, "", "x", "\u0000", [], [None], [[]], [1], ["x"],
                  {}, {"x": 1}, {"": None}, {"role": "user", "content": "x"}, [{"role": "user", "content": "x"}],
                  [{"role": "assistant", "content": "x"}], "x" * 2000, [0] * 20]
        needed = {CHAT: {"messages": [{"role": "user", "content": "x"}], "max_tokens": 2},
                  "/v1/completions": {"prompt": "x", "max_tokens": 2}, "/v1/score": {"queries": "x", "documents": ["y"]},
                  "/v1/rerank": {"query": "x", "documents": ["y"]}, "/get_reward": {"query": ["x"]},
                  "/classify": {"input": ["x"]}, "/pooling": {"input": "x"}, "/tokenize": {"content": "x"},
                  "/detokenize": {"tokens": [1]}}
        paths = self.server.json("/openapi.json")["paths"]
        asked = []
        for path, body in needed.items():
            fields = paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
            asked += [(path, {**body, field: value}) for field in fields for value in values]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda one: self.server.ask(one[0], one[1]), asked))
        for (path, body), (status, text) in zip(asked, answers):
            self.assertIn(status, (200, 400, 404), (path, str(body)[:200], text))
            if status != 200:
                error = json.loads(text)["error"]
                self.assertTrue(error["code"] and error["message"], (path, body))

    def test_framing(self):
        """What two programs might read differently is refused, and one connection is one request."""
        body = self.body.encode()
        length = f"Content-Length: {len(body)}"
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        smuggled = head_of("/health", "GET")
        for lines, sent in (((length, "Transfer-Encoding: chunked"), b"0\r\n\r\n" + smuggled),
                            ((length, length), body), ((length, "Content-Length: 0"), body + smuggled),
                            (("Content-Length: +5",), body), (("Content-Length: -1",), body),
                            (("Content-Length: 0x10",), body), (("Content-Length: 5, 5",), body),
                            (("Content-Length: " + "9" * 30,), body), (("Content-Length:",), body),
                            (("Transfer-Encoding: xchunked",), body), (("Transfer-Encoding: chunked, identity",), body),
                            (("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), body),
                            ((length, "Transfer-Encoding : chunked"), b"0\r\n\r\n" + smuggled),
                            ((length, "Transfer-Encoding: "), body), (("Transfer-Encoding: chun%6Bed",), chunked),
                            ((length, "X: a", " Transfer-Encoding: chunked"), b"0\r\n\r\n" + smuggled),
                            ((f"Content-Length: %3{str(len(body))[0]}{str(len(body))[1:]}",), body),
                            ((length, "garbage"), body), ((length, ": x"), body), ((length, "X\x00: a"), body),
                            ((length, "X: a\x00b"), body), ((length, "X: a\rTransfer-Encoding: chunked"), body),
                            ((length, "X: a\nTransfer-Encoding: chunked"), body)):
            answer = self.server.raw(head_of(lines=lines) + sent)
            self.assertEqual(len(statuses_in(answer)), 1, (lines, answer))
            self.assertIn(statuses_in(answer)[0], (400, 411, 413), (lines, answer))
        for lines in ((length,), ("Transfer-Encoding: chunked",)):
            framed = body if lines == (length,) else chunked
            answer = self.server.raw(head_of(lines=lines) + framed + smuggled)
            self.assertEqual(statuses_in(answer), [200], answer)
        size = b"%x" % len(body)
        for wrong in (chunked.replace(size, b"0x" + size, 1), chunked.replace(size, b"+" + size, 1),
                      chunked.replace(size, b" " + size + b" ", 1), chunked.replace(size, size + b"zz", 1),
                      chunked.replace(body, body + b"XX"), chunked.replace(b"\r\n", b"\n"),
                      chunked.replace(size + b"\r\n", size + b"\n")):
            answer = self.server.raw(head_of(lines=("Transfer-Encoding: chunked",)) + wrong)
            self.assertEqual(statuses_in(answer), [400], (wrong[:9], answer))
        for encoding in ("zzz", "gzip, gzip", ""):
            answer = self.server.raw(head_of(lines=(length, f"Content-Encoding: {encoding}")) + body)
            self.assertEqual(statuses_in(answer), [415], (encoding, answer))
            self.assertIn(b'"code":"unsupported_encoding"', answer)
        for framed in (b"zz\r\nx\r\n0\r\n\r\n", b"-5\r\nx\r\n", b"ffffffffffffffff\r\nx"):
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as client:
                client.sendall(head_of(lines=("Transfer-Encoding: chunked",)) + framed)
                client.shutdown(socket.SHUT_WR)
                got = client.recv(65536)
            self.assertTrue(got == b"" or statuses_in(got)[0] in (400, 413), got)

    def test_heads(self):
        for sent, allowed in ((b"\r\n\r\n", (400,)), (b"GARBAGE\r\n\r\n", (400,)), (b"GET\r\n\r\n", (400,)),
                              (b"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n", (400,)),
                              (head_of("/health", "GET", host=None), (400,)),
                              (head_of("/health", "GET", lines=("Host: localhost",)), (400,)),
                              (head_of("/health", "BREW"), (400, 405)), (head_of("/health", "TRACE"), (400, 405)),
                              (head_of("/" + "x" * 20_000, "GET"), (414, 404, 400)),
                              (head_of("/health", "GET", lines=("X: " + "y" * 100_000,)), (400, 431)),
                              (head_of("/health", "GET", lines=[f"X{i}: y" for i in range(20_000)]), (431,)),
                              (head_of("/health", "GET", lines=("Range: bytes=0-1",)), (200,)),
                              (head_of("/health", "GET", version="HTTP/1.0", host=None), (200,))):
            answer = self.server.raw(sent)
            self.assertEqual(len(statuses_in(answer)), 1, answer)
            self.assertIn(statuses_in(answer)[0], allowed, (sent[:60], answer[:200]))

    def test_paths_do_not_reach_files(self):
        for path in ("/../../../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd",
                     "/v1/models/../../etc/passwd", "/v1/models/%2fetc%2fpasswd", "/v1/models/" + "%00" * 3,
                     "/v1/models/..%5c..", "/file:///etc/passwd", "/v1//models", "/index.html"):
            answer = self.server.raw(head_of(path, "GET"))
            self.assertEqual(statuses_in(answer), [404], (path, answer))
            self.assertNotIn(b"root:", answer)

    def test_other_sites(self):
        """Without a key the server is this machine's: not for pages of other sites, under whatever name they ask."""
        ask = self.server.answer
        for headers, status in (({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403),
                                ({"Host": "evil.example"}, 403), ({"Host": "evil.example:80"}, 403),
                                ({"Host": "127.0.0.1.evil.example"}, 403), ({"Host": "localhost:1"}, 200),
                                ({"Host": "[::1]:80"}, 200), ({"Host": "127.0.0.1", "Origin": "http://127.0.0.1"}, 200),
                                ({"Origin": f"http://127.0.0.1:{self.server.port}"}, 200)):
            for path, body in (("/v1/models", None), (CHAT, self.body)):
                got, text, answered = ask(path, body, headers)
                self.assertEqual(got, status, (headers, text))
                self.assertNotIn("Access-Control-Allow-Origin", answered)
        self.assertEqual(ask(CHAT, headers={"Origin": "https://evil.example"}, method="OPTIONS")[0], 403)
        # A key that nobody asked for is ignored.
        self.assertEqual(ask("/v1/models", headers={"Authorization": "Bearer x"})[0], 200)

    def test_keys_and_origins(self):
        page = "https://page.example"
        server = Server(BINARY, MODEL, "--allow-origin", page, key="secret")
        good = {"Authorization": "Bearer secret"}
        for key in ("", "Bearer", "Bearer ", "Bearer secre", "Bearer secrett", "Bearer Secret", "Basic secret", "secret",
                    "Bearer " + "secret" * 2):
            status, text, headers = server.answer("/v1/models", headers={"Authorization": key})
            self.assertEqual(status, 401, key)
            self.assertEqual(json.loads(text)["error"]["code"], "invalid_api_key")
        self.assertEqual(headers["WWW-Authenticate"], "Bearer")
        for path in ("/v1/models", "/metrics", "/props", "/openapi.json", "/nothing"):
            self.assertEqual(server.answer(path)[0], 401, path)
        escaped = Server(BINARY, MODEL, key="se%41cret+%")
        for key, status in (("se%41cret+%", 200), ("seAcret+%", 401), ("se%2541cret+%25", 401)):
            self.assertEqual(escaped.answer("/v1/models", headers={"Authorization": f"Bearer {key}"})[0], status, key)
        escaped.stop()
        self.assertEqual(server.answer("/health")[0], 200)
        # A preflight has no key; the answer itself needs one, and says that the page may read it.
        status, _, headers = server.answer(CHAT, headers={"Origin": page, "Access-Control-Request-Method": "POST"},
                                           method="OPTIONS")
        self.assertEqual((status, headers["Access-Control-Allow-Origin"]), (204, page))
        self.assertIn("Authorization", headers["Access-Control-Allow-Headers"])
        status, _, headers = server.answer("/v1/models", headers={"Origin": page})
        self.assertEqual((status, headers["Access-Control-Allow-Origin"]), (401, page))
        self.assertEqual(server.answer("/v1/models", headers={"Origin": page, **good})[0], 200)
        status, _, headers = server.answer("/v1/models", headers={"Origin": "https://other.example", **good})
        self.assertEqual((status, "Access-Control-Allow-Origin" in headers), (200, False))
        self.assertEqual(server.answer(CHAT, headers={"Origin": "https://other.example"}, method="OPTIONS")[0], 401)
        server.stop()

    def test_an_address_that_others_can_reach_needs_a_key(self):
        for host in ("0.0.0.0", "::", "192.0.2.1", "example.org", "127.0.0.1.example.org"):
            done = subprocess.run([BINARY, "serve", "--model", MODEL, "--port", "0", "--host", host], text=True,
                                  capture_output=True, check=False, timeout=60)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("COALA_API_KEY", done.stderr)
            self.assertLessEqual(len(done.stderr.strip().splitlines()), 2, done.stderr)

    def test_large_bodies(self):
        self.assertEqual(self.server.ask(CHAT, b" " * (9 << 20))[0], 413)
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=30) as client:
            client.sendall(head_of(lines=(f"Content-Length: {100 << 20}",)))
            try:
                for _ in range(100):
                    client.sendall(b" " * (1 << 20))
            except OSError:
                pass
            self.assertEqual(statuses_in(client.recv(65536)), [413])

    def test_slow_and_silent_clients(self):
        """Connections that send nothing, or a byte now and then, or do not read, keep nobody else waiting."""
        idle = [socket.create_connection(("127.0.0.1", self.server.port)) for _ in range(30)]
        for client in idle[:10]:
            client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: loc")
        for client in idle[10:20]:
            client.sendall(head_of(lines=("Content-Length: 100",)) + b"{")
        stream = json.dumps({"prompt": "x", "max_tokens": 200, "stream": True, "n": 8, "temperature": 1.5, "top_p": 1,
                             "top_k": 0}).encode()
        for client in idle[20:]:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.sendall(head_of("/v1/completions", lines=(f"Content-Length: {len(stream)}",)) + stream)
        start = time.monotonic()
        self.assertEqual(self.server.ask("/health")[0], 200)
        self.assertLess(time.monotonic() - start, 3)
        self.assertIn(self.server.ask(CHAT, self.body)[0], (200, 429))
        for client in idle:
            client.close()

    def test_many_idle_clients_do_not_hold_up_health(self):
        """More than there are threads, for longer than a test waits."""
        idle = [socket.create_connection(("127.0.0.1", self.server.port)) for _ in range(300)]
        for client in idle[:100]:
            client.sendall(head_of(lines=("Content-Length: 100",)) + b"{")  # most are refused, and stay
        for client in idle[100:200]:
            client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: loc")
        start = time.monotonic()
        self.assertEqual(self.server.ask("/health")[0], 200)
        self.assertLess(time.monotonic() - start, 2, "it took ten seconds when they had threads")
        for client in idle:
            client.close()

    def test_clients_that_leave(self):
        """While they wait for a stream, for an answer that is none, or for scores; politely, or by a reset."""
        write = {"prompt": "x", "max_tokens": 240, "n": 8, "temperature": 1.5, "top_p": 1, "top_k": 0}
        score = {"queries": "x " * 200, "documents": ["the hen and the inn " * 30] * 500}
        before = self.server.metrics()["coala_dropped_total"]
        for path, body in (("/v1/completions", {**write, "stream": True}), ("/v1/completions", write),
                           ("/v1/score", score)) * 2:
            data = json.dumps(body).encode()
            clients = [socket.create_connection(("127.0.0.1", self.server.port)) for _ in range(4)]
            for client in clients:
                client.sendall(head_of(path, lines=(f"Content-Length: {len(data)}",)) + data)
            time.sleep(0.1)
            for i, client in enumerate(clients):
                if i % 2:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
        self.server.rested()
        self.assertGreater(self.server.metrics()["coala_dropped_total"], before + 8)

    def test_random_bytes(self):
        draw = random.Random(1)
        whole = head_of(lines=(f"Content-Length: {len(self.body)}",)) + self.body.encode()
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(draw.randint(1, 6)):
                data[draw.randrange(len(data))] = draw.randrange(256)
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=15) as client:
                client.sendall(bytes(data))
                client.shutdown(socket.SHUT_WR)
                got = b""
                while piece := client.recv(65536):
                    got += piece
            self.assertTrue(got == b"" or statuses_in(got)[0] < 500, (data, got))

    def test_a_stop_answers_everybody(self):
        """SIGTERM under load: each request gets an answer, whole or an error, and the program ends."""
        server = Server(BINARY, MODEL, "--head", self.head, "--parallel", "2", "--threads", "1")
        write = {"prompt": "x", "max_tokens": 240, "n": 8, "temperature": 1.5, "top_p": 1, "top_k": 0}
        score = {"queries": "x", "documents": ["the hen and the inn " * 30] * 500}

        def ask(i):
            path, body = (("/v1/score", score), ("/v1/completions", write),
                          ("/v1/completions", {**write, "stream": True}))[i % 3]
            try:
                status, text = server.ask(path, body)
            except OSError as error:  # came after the end
                return type(error).__name__
            if status == 200 and i % 3 == 2:
                return "end" if text.endswith("data: [DONE]\n\n") else "cut off"
            return status if json.loads(text) else "empty"

        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            answers = [pool.submit(ask, i) for i in range(24)]
            time.sleep(0.7)
            server.signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(20), 130)
            got = [answer.result() for answer in answers]
        self.assertTrue(all(one in (200, 429, 503, "end", "ConnectionRefusedError", "ConnectionResetError") for one in got),
                        got)
        self.assertNotIn("ConnectionResetError", got[:12])
        server.process.stderr.close()


if __name__ == "__main__":
    BINARY, MODEL = sys.argv.pop(1), sys.argv.pop(1)
    unittest.main()
