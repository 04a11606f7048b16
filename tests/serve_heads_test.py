#!/usr/bin/env python3
"""Heads of `coala serve` whose files change: SIGHUP has them read again, under load, without dropping a request; what
cannot be read, or is another model's, leaves the head that was there. Usage: serve_heads_test.py BINARY MODEL.gguf"""

import concurrent.futures
import json
import os
import shutil
import signal
import struct
import sys
import tempfile
import threading
import time
import unittest

sys.dont_write_bytecode = True

from coala_server import QUESTION, Server, align  # noqa: E402

DOCUMENTS = ["a hen", "a tree, maybe", "the hen and the inn"]
SAID = "coala_heads_{}_total"


def of_another_model(path):
    """The bytes of a head file that says that it belongs to another model."""
    with open(path, "rb") as file:
        data = file.read()
    length, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header["__metadata__"]["backbone.hash"] = "0" * len(header["__metadata__"]["backbone.hash"])
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length:]


class Heads(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="coala-heads-")
        cls.files = [align(BINARY, MODEL, cls.folder, name, seed=seed) for name, seed in (("one", 0), ("other", 1))]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def setUp(self):
        self.path = os.path.join(self.folder, "served.safetensors")
        shutil.copy(self.files[0], self.path)
        self.server = Server(BINARY, MODEL, "--head", self.path)

    def tearDown(self):
        if self.server.process.poll() is None:
            self.server.stop()

    def put(self, content):
        """In the place of the head's file, at once; then the server is told."""
        beside = self.path + ".new"
        with open(beside, "wb") as file:
            file.write(content)
        os.replace(beside, self.path)
        self.server.process.send_signal(signal.SIGHUP)

    def counted(self, what, least):
        """Waits until so many heads were "replaced" or "refused"."""
        for _ in range(300):
            if self.server.metrics()[SAID.format(what)] >= least:
                break
            time.sleep(0.1)
        self.assertEqual(self.server.metrics()[SAID.format(what)], least)

    def scores(self):
        answer = self.server.json("/v1/score", {"text_1": QUESTION, "text_2": DOCUMENTS})
        return answer["coala"]["digest"], tuple(one["score"] for one in answer["data"])

    def reply(self):
        return self.server.chat(heads={"served": 4})["choices"][0]["message"]["content"]

    def test_a_head_is_replaced_and_garbage_is_not_taken(self):
        contents = []
        for path in self.files:
            with open(path, "rb") as file:
                contents.append(file.read())
        alone = [(self.scores(), self.reply())]
        self.put(contents[1])
        self.counted("replaced", 1)
        alone.append((self.scores(), self.reply()))
        self.assertNotEqual(alone[0][0][0], alone[1][0][0])
        self.assertNotEqual(alone[0][0][1], alone[1][0][1])
        self.assertNotEqual(alone[0][1], alone[1][1])
        self.assertEqual(self.server.json("/v1/models/base%2Bserved")["head"]["digest"], alone[1][0][0])
        bad = [b"garbage", b"", contents[0][:len(contents[0]) // 2], of_another_model(self.files[0])]
        for i, content in enumerate(bad):
            self.put(content)
            self.counted("refused", i + 1)
            self.assertEqual((self.scores(), self.reply()), alone[1])
        os.remove(self.path)
        self.server.process.send_signal(signal.SIGHUP)
        self.counted("refused", len(bad) + 1)
        self.put(contents[0])
        self.counted("replaced", 2)
        self.assertEqual((self.scores(), self.reply()), alone[0])
        self.put(contents[0])  # the same again
        time.sleep(0.5)
        self.counted("replaced", 2)
        status, _ = self.server.stop()
        self.assertEqual(status, 130)
        self.assertEqual(self.server.said.count("stays what it was"), len(bad) + 1)
        self.assertEqual(self.server.said.count("is the one of"), 2)
        self.assertEqual(self.server.said.count("is what it was"), 1)

    def test_no_request_is_dropped_under_load(self):
        contents = []
        for path in self.files:
            with open(path, "rb") as file:
                contents.append(file.read())
        known = {self.scores()}
        self.put(contents[1])
        self.counted("replaced", 1)
        known.add(self.scores())
        over = threading.Event()

        def write():
            answers = 0
            while not over.is_set():
                events = self.server.stream(heads={"served": 4})
                self.assertIn(events[-1]["choices"][0]["finish_reason"], ("stop", "length"))
                self.assertNotIn("error", events[-1])
                answers += 1
            return answers

        def choose():
            answers = 0
            while not over.is_set():
                answer = self.server.chat(heads={"served": 1}, guidance="best-of-n", num_candidates=3)
                self.assertIn("score", answer["choices"][0])
                answers += 1
            return answers

        def score():
            answers = 0
            while not over.is_set():
                self.assertIn(self.scores(), known)  # of one head or of the other, never of both
                answers += 1
            return answers

        with concurrent.futures.ThreadPoolExecutor(6) as threads:
            loads = [threads.submit(work) for work in (write, write, write, choose, score, score)]
            try:
                for i in range(6):
                    self.put(contents[i % 2])
                    self.counted("replaced", 2 + i)
                    self.put(b"garbage")
                    self.counted("refused", 1 + i)
            finally:
                over.set()
            for load in loads:
                self.assertGreater(load.result(), 0)
        health = self.server.rested()
        self.assertEqual(health["writing"] + health["waiting"] + health["items_waiting"], 0)
        self.assertEqual(self.server.metrics()["coala_dropped_total"], 0)


if __name__ == "__main__":
    BINARY, MODEL = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1], verbosity=2)
