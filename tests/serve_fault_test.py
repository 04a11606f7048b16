#!/usr/bin/env python3
"""`coala serve` when something around it fails: the disk is full, the server is killed between a lesson and its answer,
a client stops to read or is gone without a word, a lesson does not end.
Usage: serve_fault_test.py BINARY MODEL.gguf SHIM"""

import concurrent.futures
import ctypes
import errno
import fcntl
import http.client
import json
import os
import random
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True

from coala_server import QUESTION, Server  # noqa: E402


def lesson(name, kind=0):
    body = {"messages": [{"role": "user", "content": f"question {name}"}]}
    if kind % 3 == 2:
        return {**body, "response": f"aaaa {name}", "rating": 1}
    return {**body, "chosen": f"aaaa {name}", "rejected": f"eeee {name}"}


def connections(port):
    """The timers of established connections to the server, on its side: (kind, hundredths of a second)."""
    with open("/proc/self/net/tcp", encoding="utf-8") as file:
        lines = [line.split() for line in file.readlines()[1:]]
    timers = [line[5].split(":") for line in lines if int(line[1].split(":")[1], 16) == port and line[3] == "01"]
    return [(kind, int(left, 16)) for kind, left in timers]


class Taught(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="coala-fault-")
        self.file = os.path.join(self.folder, "lessons.jsonl")
        self.server = None

    def tearDown(self):
        if self.server:
            self.server.process.kill()
            self.server.process.wait()
            self.server.process.stderr.close()
        shutil.rmtree(self.folder)

    def begin(self, *arguments, **others):
        self.server = Server(BINARY, MODEL, "--teach", self.file, "--threads", "1", *arguments, **others)
        return self.server

    def said(self):
        """Lessons on the disk, by file."""
        found = {}
        for name in ("lessons.jsonl", "lessons-ratings.jsonl"):
            path = os.path.join(self.folder, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    found[name] = [json.loads(line) for line in file]
        return found

    def test_a_full_disk_takes_no_lesson_and_loses_none(self):
        """Each write and each flush of a lesson finds no room, one in each run."""
        self.begin()
        for kind in (0, 2):
            self.server.json("/v1/feedback", lesson("before", kind))
        self.server.stop()
        kept = os.path.join(self.folder + "-kept")
        shutil.copytree(self.folder, kept)
        refused = {"write": 0, "fsync": 0}
        for function in refused:
            for n in range(1, 40):
                shutil.rmtree(self.folder)
                shutil.copytree(kept, self.folder)
                before = self.said()
                names = sorted(os.listdir(self.folder))
                hit = self.folder + ".hit"
                server = self.begin(variables={"LD_PRELOAD": SHIM, "COALA_FAULT_FOLDER": self.folder,
                                               "COALA_FAULT": f"{function}:{n}:{errno.ENOSPC}", "COALA_FAULT_HIT": hit})
                at_start = os.path.exists(hit)
                status, text = server.ask("/v1/feedback", lesson("now", n % 2 * 2))
                happened = os.path.exists(hit)
                if happened:
                    os.remove(hit)
                if happened and not at_start and status != 200:
                    refused[function] += 1
                    error = json.loads(text)["error"]
                    self.assertEqual((status, error["code"], error["type"]), (507, "disk_full", "server_error"), text)
                    self.assertNotIn("run the same command", error["message"])
                    self.assertNotIn(self.folder, text)
                    self.assertEqual(self.said(), before)
                    self.assertEqual(sorted(os.listdir(self.folder)), names)
                    report = server.json("/v1/feedback")
                    self.assertEqual((report["pairs"], report["ratings"]), (1, 1))
                    status, text = server.ask("/v1/feedback", lesson("now", n % 2 * 2))
                self.assertEqual(status, 200, text)
                report = json.loads(text)
                self.assertEqual(report["pairs"] + report["ratings"], 3)
                server.stop()
                self.assertEqual(sum(map(len, self.said().values())), 3)
                if not happened:
                    break
            self.assertLess(n, 39)
        shutil.rmtree(kept)
        self.assertGreater(min(refused.values()), 1, refused)

    def test_no_lesson_that_was_answered_is_lost_by_a_kill(self):
        """Several clients teach, and the server is killed at some moment; again and again, with the same files."""
        draw = random.Random(3)
        accepted = []

        def teach(turn, client):
            for i in range(1000):
                connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
                try:
                    connection.request("POST", "/v1/feedback", json.dumps(lesson(f"{turn}-{client}-{i}", i + client)))
                    answer = connection.getresponse()
                    if answer.status == 200:
                        accepted.append(json.loads(answer.read())["id"])
                except (OSError, http.client.HTTPException):
                    return
                finally:
                    connection.close()

        for turn in range(7):
            server = self.begin()
            found = self.said()  # what was begun and not finished is gone once the server is there
            ids = [one["id"] for lines in found.values() for one in lines]
            self.assertEqual(len(ids), len(set(ids)))
            self.assertEqual(set(accepted) - set(ids), set())
            report = server.json("/v1/feedback")
            self.assertEqual([report["pairs"], report["ratings"]],
                             [len(found.get(name, [])) for name in ("lessons.jsonl", "lessons-ratings.jsonl")])
            if turn == 6:
                break
            with concurrent.futures.ThreadPoolExecutor(4) as threads:
                clients = [threads.submit(teach, turn, client) for client in range(4)]
                time.sleep(draw.uniform(0.1, 1.0))
                server.process.send_signal(signal.SIGKILL)
                for client in clients:
                    client.result()
            server.process.wait()
            server.process.stderr.close()
        self.assertGreater(len(accepted), 20)
        server.json("/v1/feedback", lesson("after"))

    def test_a_lesson_that_does_not_end_is_not_well(self):
        server = self.begin("--time-limit", "3")
        health = server.json("/health")
        self.assertEqual((health["status"], health["lesson_s"], health["last_batch_s"]), ("ok", 0, 0))
        os.mkfifo(self.file + ".trial")  # a pipe that nobody reads: what writes to it waits
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            answer = thread.submit(server.ask, "/v1/feedback", lesson("x"))
            seen = set()
            for _ in range(200):
                status, text = server.ask("/health")
                health = json.loads(text)
                seen.add((status, health["status"], health["lesson_s"] > 0))
                self.assertEqual(status == 503, health["lesson_s"] >= 3)
                if status == 503:
                    break
                time.sleep(0.05)
            self.assertLessEqual({(200, "ok", True), (503, "stuck", True)}, seen)
            os.remove(self.file + ".trial")
            self.assertEqual(answer.result()[0], 500)
        self.assertEqual(server.json("/health")["status"], "ok")
        self.assertEqual(server.json("/v1/feedback", lesson("x"))["pairs"], 1)


class Readers(unittest.TestCase):
    def setUp(self):
        self.server = Server(BINARY, MODEL, "--threads", "1")

    def tearDown(self):
        self.server.stop()

    def test_who_does_not_read_is_given_up(self):
        """More is written than buffers between the two take."""
        before = self.server.metrics()["coala_dropped_total"]
        body = json.dumps({"messages": [{"role": "user", "content": QUESTION}], "n": 8, "max_tokens": 230, "stream": True,
                           "logprobs": True, "top_logprobs": 20, "temperature": 1.5, "top_k": 0, "top_p": 1,
                           "logit_bias": {"2": -100}, "seed": 1}).encode()
        clients = []
        for _ in range(4):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.connect(("127.0.0.1", self.server.port))
            client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
                           + body)
            clients.append(client)
        start = time.monotonic()
        while self.server.metrics()["coala_dropped_total"] < before + len(clients) and time.monotonic() - start < 120:
            time.sleep(0.2)
        took = time.monotonic() - start
        metrics = self.server.metrics()
        self.assertEqual(metrics["coala_dropped_total"], before + len(clients))
        self.assertGreater(took, 9.5, "ten seconds are theirs")
        health = self.server.rested()
        self.assertEqual((health["writing"], health["waiting"]), (0, 0))
        self.assertEqual(self.server.metrics()["coala_cells_held"], 0)
        self.assertEqual(connections(self.server.port), [])
        for client in clients:
            client.close()

    def test_who_closes_its_half_is_told_that_it_counts_as_gone(self):
        before = self.server.metrics()["coala_dropped_total"]
        body = {"prompt": "x", "max_tokens": 240, "n": 8, "temperature": 1.5, "top_k": 0, "top_p": 1}
        for streams in (False, True):
            data = json.dumps({**body, "stream": streams}).encode()
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=30) as client:
                client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(data)
                               + data)
                client.shutdown(socket.SHUT_WR)
                got = b""
                while piece := client.recv(65536):
                    got += piece
            self.assertIn(b"client_closed_request", got)
            self.assertEqual(got.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), streams, got[-60:])
        self.assertEqual(self.server.metrics()["coala_dropped_total"], before + 2)


class Silence(unittest.TestCase):
    def check_timer(self, port):
        timers = connections(port)
        self.assertEqual([kind for kind, _ in timers], ["02"], "keepalive")
        self.assertLessEqual(timers[0][1], 1000)

    def silent_client(self, port):
        """Whose body does not come for a minute."""
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.5)
        return client

    def test_connections_are_asked_whether_somebody_is_there(self):
        server = Server(BINARY, MODEL)
        client = self.silent_client(server.port)
        self.check_timer(server.port)
        client.close()
        server.stop()

    def test_a_machine_that_is_gone_without_a_word_is_noticed(self):
        """In a network of its own, which is switched off: nobody says that the connection has ended."""
        libc = ctypes.CDLL(None, use_errno=True)
        clone_newuser, clone_newnet = 0x10000000, 0x40000000
        child = os.fork()
        if child == 0:
            status = 1
            try:
                if libc.unshare(clone_newnet) != 0 and libc.unshare(clone_newuser | clone_newnet) != 0:
                    os._exit(77)
                status = self.gone_without_a_word()
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 77:
            self.skipTest("no network of its own")
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)

    def gone_without_a_word(self):
        def switch(on):
            siocsifflags, iff_up = 0x8914, 1
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                fcntl.ioctl(control, siocsifflags, struct.pack("16sH14x", b"lo", iff_up if on else 0))

        switch(True)
        server = Server(BINARY, MODEL)
        client = self.silent_client(server.port)
        self.check_timer(server.port)
        switch(False)
        start = time.monotonic()
        while connections(server.port) and time.monotonic() - start < 50:
            time.sleep(0.2)
        took = time.monotonic() - start
        server.process.kill()
        client.close()
        print(f"noticed after {took:.1f} s", file=sys.stderr)
        return 0 if 10 < took < 40 else 1


if __name__ == "__main__":
    BINARY, MODEL, SHIM = sys.argv.pop(1), sys.argv.pop(1), os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
