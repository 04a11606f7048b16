#!/usr/bin/env python3
"""`coala serve`: kinds of guidance write what `coala generate` writes, log-probabilities are those of the tokens, and
what clients teach is learnt at once, kept through a kill, and taken back.
Usage: serve_teach_test.py BINARY MODEL.gguf"""

import concurrent.futures
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock
import urllib.request

sys.dont_write_bytecode = True

from coala_server import QUESTION, TOKENS, Server, align, start, stop  # noqa: E402

ASKED = [{"role": "user", "content": QUESTION}]


def text_of(answer):
    return answer["choices"][0]["message"]["content"]


class Kinds(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        start(cls, BINARY, MODEL)

    @classmethod
    def tearDownClass(cls):
        stop(cls)

    def written(self, *arguments):
        said = subprocess.run([BINARY, "generate", "--model", MODEL, "--prompt", QUESTION, "--max-tokens", str(TOKENS),
                               "--seed", "5", "--quiet", "--head", self.head, *arguments], capture_output=True,
                              text=True, check=True)
        return json.loads(said.stdout)["text"]

    def test_writes_what_the_command_writes_in_each_way(self):
        kinds = {"none": (["none"], {}), "token": (["token"], {}), "bias": (["bias"], {}),
                 "best-of-n": (["best-of-n", "--num-candidates", "3"], {"num_candidates": 3}),
                 "sentence": (["sentence", "--num-candidates", "3"], {"num_candidates": 3}),
                 "branch": (["branch", "--num-candidates", "4", "--guide-every", "2"],
                            {"num_candidates": 4, "guide_every": 2})}
        expected = {kind: self.written("--guidance", *arguments) for kind, (arguments, _) in kinds.items()}
        self.assertGreater(len(set(expected.values())), 3, "the kinds differ")

        def asked(kind):
            answer = self.server.chat(guidance=kind, **kinds[kind][1])
            self.assertEqual(answer["coala"]["guidance"], kind)
            streamed = "".join(event["choices"][0]["delta"].get("content", "")
                               for event in self.server.stream(guidance=kind, **kinds[kind][1]))
            return kind, text_of(answer), streamed

        with concurrent.futures.ThreadPoolExecutor(6) as threads:  # beside each other
            for kind, whole, streamed in threads.map(asked, kinds):
                self.assertEqual(whole, expected[kind], kind)
                self.assertEqual(streamed, expected[kind], kind)
        for kind, scale in (("token", 0.7), ("bias", 0.7), ("branch", 0.7), ("branch", 0)):
            arguments, fields = kinds[kind]
            self.assertEqual(text_of(self.server.chat(guidance=kind, guidance_scale=scale, **fields)),
                             self.written("--guidance", *arguments, "--guidance-scale", str(scale)), (kind, scale))

    def test_refuses_what_does_not_go_together(self):
        for fields, param in [({"guidance": "branch", "num_candidates": 99}, "num_candidates"),
                              ({"guidance": "token", "num_candidates": 3}, "num_candidates"),
                              ({"guidance": "sentence", "guide_every": 3}, "guide_every"),
                              ({"guidance": "branch", "heads": {}}, "guidance"),
                              ({"guidance": "tokens"}, "guidance")]:
            error = self.server.chat(status=400, **fields)["error"]
            self.assertEqual(error["param"], param, error)

    def test_log_probabilities(self):
        answer = self.server.chat(logprobs=True, top_logprobs=3, heads={"hens": 3})
        content = answer["choices"][0]["logprobs"]["content"]
        usage = answer["usage"]["completion_tokens"]
        ended = answer["choices"][0]["finish_reason"] == "stop"
        self.assertEqual(len(content), usage - (1 if ended else 0))
        text = bytes(byte for one in content for byte in one["bytes"]).decode("utf-8", "replace")
        # How many signs stand for a run of bytes that are no text is not said anywhere.
        as_one = [re.sub("\ufffd+", "\ufffd", one.strip()) for one in (text, text_of(answer))]
        self.assertEqual(*as_one)
        moved = 0
        for one in content:
            top = one["top_logprobs"]
            self.assertEqual(len(top), 3)
            self.assertEqual([x["logprob"] for x in top], sorted((x["logprob"] for x in top), reverse=True))
            self.assertLessEqual(sum(math.exp(x["logprob"]) for x in top), 1 + 1e-6)
            self.assertGreaterEqual(top[0]["logprob"] + 1e-9, one["logprob"])
            moved += abs(one["logprob"] - one["unguided_logprob"]) > 1e-3
        self.assertGreater(moved, 0, "guidance has moved the distribution")
        for one in self.server.chat(logprobs=True, heads={})["choices"][0]["logprobs"]["content"]:
            self.assertAlmostEqual(one["logprob"], one["unguided_logprob"], 9)
            self.assertEqual(one["top_logprobs"], [])
        events = self.server.stream(logprobs=True, top_logprobs=3, heads={"hens": 3})
        streamed = [one for event in events for one in (event["choices"][0]["logprobs"] or {"content": []})["content"]]
        self.assertEqual([one["token"] for one in streamed], [one["token"] for one in content])
        for one, other in zip(streamed, content):
            self.assertAlmostEqual(one["logprob"], other["logprob"], 4)
        completion = self.server.json("/v1/completions", {"prompt": "the hen", "max_tokens": 6, "seed": 1,
                                                          "logprobs": 2})
        columns = completion["choices"][0]["logprobs"]
        ended = completion["choices"][0]["finish_reason"] == "stop"
        for column in ("tokens", "token_logprobs", "top_logprobs", "unguided_logprobs"):
            self.assertEqual(len(columns[column]), completion["usage"]["completion_tokens"] - (1 if ended else 0))
        self.assertIsNone(self.server.chat()["choices"][0]["logprobs"])


class Teach(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="coala-teach-")
        self.file = os.path.join(self.folder, "lessons.jsonl")
        self.servers = []

    def tearDown(self):
        for server in self.servers:
            if server.process.poll() is None:
                server.stop()
            elif not server.process.stderr.closed:
                server.process.stderr.close()
        shutil.rmtree(self.folder)

    def begin(self, *arguments):
        self.servers.append(Server(BINARY, MODEL, "--teach", self.file, *arguments))
        return self.servers[-1]

    def teach(self, server, first, last):
        for i in range(first, last):
            question = [{"role": "user", "content": f"question {i}"}]
            if i % 4 == 3:
                body = {"messages": question, "response": f"aaaa{i}", "rating": 1}
            else:
                body = {"messages": question, "chosen": f"aaaa{i}", "rejected": f"eeee{i}"}
            report = server.json("/v1/feedback", body)
        return report

    def test_learns_at_once_and_keeps_it_through_a_kill(self):
        server = self.begin()
        plain = text_of(server.chat())
        self.assertEqual([one["id"] for one in server.json("/v1/models")["data"]], ["tiny-llama", "tiny-llama+taught"])
        self.assertEqual(text_of(server.chat(heads={"taught": 1})), plain, "nothing is learnt yet")
        self.assertEqual(server.json("/v1/feedback")["pairs"], 0)
        report = self.teach(server, 0, 10)
        self.assertEqual((report["pairs"], report["ratings"]), (8, 2))
        self.assertGreater(report["accuracy"]["value"], 0.7)
        self.assertGreater(report["accuracy"]["high"], report["accuracy"]["low"])
        self.assertLess(report["seconds"]["solution"], 5)
        change = report["last_change"]
        for key in ("before", "after"):  # what the head before it, and the one with it, foresee of it
            self.assertTrue(math.isfinite(change[key]))
        self.assertGreater(change["after"], change["before"])
        taught = text_of(server.chat(heads={"taught": 8}))
        self.assertNotEqual(taught, plain)
        self.assertEqual(text_of(server.chat(model="base")), plain)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        with open(self.file, encoding="utf-8") as file:
            self.assertEqual(len(file.readlines()), 8)
        again = self.begin()
        self.assertEqual(again.json("/v1/feedback")["accuracy"], report["accuracy"])
        self.assertEqual(text_of(again.chat(heads={"taught": 8})), taught)
        status, lines = again.ask("/v1/feedback/pairs")
        self.assertEqual((status, len(lines.splitlines())), (200, 8))
        self.assertEqual(len(again.ask("/v1/feedback/ratings")[1].splitlines()), 2)
        # What was exported is data as any other.
        subprocess.run([BINARY, "align", "--model", MODEL, "--data", self.file, "--out",
                        os.path.join(self.folder, "aligned"), "--quiet", "--token-rank", "4"], check=True,
                       stdout=subprocess.DEVNULL)

    def test_what_was_taught_can_be_taken_along(self):
        """The head writes with `coala generate` what it writes here; files are those of `coala export`."""
        temporary = os.path.join(self.folder, "temporary")
        os.mkdir(temporary)
        with unittest.mock.patch.dict(os.environ, TMPDIR=temporary):
            server = self.begin()
        status, text = server.ask("/v1/feedback/head")
        self.assertEqual((status, json.loads(text)["error"]["code"]), (409, "nothing_taught"))
        self.teach(server, 0, 10)

        def take(name):
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/v1/feedback/{name}") as answer:
                saved = re.fullmatch('attachment; filename="([^"]+)"', answer.headers["Content-Disposition"])[1]
                content = answer.read()
                self.assertEqual(len(content), int(answer.headers["Content-Length"]))
            path = os.path.join(self.folder, saved)
            with open(path, "wb") as file:
                file.write(content)
            return path, content

        head, _ = take("head")
        for scale in (1, 8):
            said = subprocess.run([BINARY, "generate", "--model", MODEL, "--head", head, "--guidance-scale", str(scale),
                                   "--prompt", QUESTION, "--max-tokens", str(TOKENS), "--seed", "5", "--quiet"],
                                  capture_output=True, text=True, check=True)
            self.assertEqual(json.loads(said.stdout)["text"], text_of(server.chat(heads={"taught": scale})))
        self.assertNotEqual(text_of(server.chat(heads={"taught": 8})), text_of(server.chat(heads={})))
        for name, kind in (("adapter", "lora"), ("model", "gguf")):
            own = os.path.join(self.folder, f"own.{kind}")
            made = subprocess.run([BINARY, "export", "--model", MODEL, "--head", head, "--format", kind, "--out", own,
                                   "--quiet"], stdout=subprocess.DEVNULL)
            if made.returncode != 0:  # the output matrix of some models is their embedding
                self.assertEqual((kind, server.ask(f"/v1/feedback/{name}")[0]), ("lora", 400))
                continue
            with open(own, "rb") as file:
                self.assertEqual(take(name)[1], file.read(), kind)
        self.assertEqual(os.listdir(temporary), [])
        # It guides, and says so where it is asked to score.
        serving = Server(BINARY, MODEL, "--head", head)
        self.servers.append(serving)
        self.assertEqual(text_of(serving.chat(heads={"taught": 8})), text_of(server.chat(heads={"taught": 8})))
        self.assertFalse(serving.json("/v1/models/base%2Btaught")["head"]["scores"])
        serving.json("/v1/score", {"text_1": QUESTION, "text_2": ["a"]}, 400)
        serving.chat(status=400, heads={"taught": 1}, guidance="best-of-n")

    def test_takes_back(self):
        server = self.begin()
        self.teach(server, 0, 2)
        before = text_of(server.chat(heads={"taught": 8}))
        self.teach(server, 2, 4)
        for left in ((3, 0), (2, 0)):
            status, text = server.ask("/v1/feedback/last", method="DELETE")
            report = json.loads(text)
            self.assertIsNone(report["last_change"])
            self.assertEqual((status, report["pairs"], report["ratings"]), (200, *left))
        self.assertEqual(text_of(server.chat(heads={"taught": 8})), before)
        for _ in range(2):
            server.ask("/v1/feedback/last", method="DELETE")
        self.assertEqual(server.ask("/v1/feedback/last", method="DELETE")[0], 400)

    def test_takes_back_the_lesson_that_is_meant(self):
        """Somebody else's is left alone."""
        server = self.begin()
        self.assertIsNone(server.json("/v1/feedback")["id"])
        mine = self.teach(server, 0, 1)["id"]
        others = self.teach(server, 1, 2)["id"]
        self.assertNotEqual(mine, others)
        self.assertEqual(server.json("/v1/feedback")["id"], others)
        for wrong, code in ((mine, "not_the_last"), ("lesson-3", "not_there"), ("nobody%27s", "not_there")):
            status, text = server.ask(f"/v1/feedback/last?id={wrong}", method="DELETE")
            error = json.loads(text)["error"]
            self.assertEqual((status, error["code"], error["param"]), (409, code, "id"))
            self.assertEqual(others in error["message"], wrong == mine)
        self.assertEqual(server.json("/v1/feedback")["pairs"], 2)
        for one, left in ((others, 1), (mine, 0)):
            status, text = server.ask(f"/v1/feedback/last?id={one}", method="DELETE")
            self.assertEqual((status, json.loads(text)["pairs"]), (200, left))
        # A number that is given again is not the same lesson.
        server.stop()
        again = self.begin()
        self.assertNotEqual(self.teach(again, 2, 3)["id"], mine)

    def test_a_client_that_has_left_teaches_nothing(self):
        server = self.begin()
        first = self.teach(server, 0, 1)["id"]
        body = json.dumps({"messages": ASKED, "chosen": "aa", "rejected": "ee"}).encode()
        for head, data in (("POST /v1/feedback", body), (f"DELETE /v1/feedback/last?id={first}", b"")):
            before = server.metrics()["coala_dropped_total"]
            server.process.send_signal(signal.SIGSTOP)  # so that it is gone before anybody looks
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(f"{head} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
            server.process.send_signal(signal.SIGCONT)
            for _ in range(100):
                if server.metrics()["coala_dropped_total"] > before:
                    break
                time.sleep(0.1)
            self.assertEqual(server.metrics()["coala_dropped_total"], before + 1)
            self.assertEqual(server.json("/v1/feedback")["pairs"], 1)
        with open(self.file, encoding="utf-8") as file:
            self.assertEqual(len(file.readlines()), 1)

    def test_says_which_two_replies_to_compare(self):
        server = self.begin()
        several = [{"messages": [{"role": "user", "content": f"question {i}"}],
                    "replies": ["aaaa", "eeee", "aaaa", "aaaa, the hen"]} for i in range(3)]
        seen = set()
        for i in range(6):
            found = server.json("/v1/feedback/next", {"candidates": several})
            self.assertEqual(found["considered"], 15)  # the same text twice is no choice
            self.assertGreater(found["information_bits"], 0)
            self.assertLessEqual(found["information_bits"], 1)
            first, second = (several[found["candidate"]]["replies"][one] for one in found["replies"])
            self.assertNotEqual(first, second)
            better, worse = (first, second) if first.count("a") > second.count("a") else (second, first)
            report = server.json("/v1/feedback", {"messages": several[found["candidate"]]["messages"],
                                                  "chosen": better, "rejected": worse})
            self.assertEqual(report["pairs"], i + 1)
            seen.add((found["candidate"], tuple(found["replies"])))
        self.assertGreater(len(seen), 1, "what was answered is not asked again and again")
        for wrong, status in (({"candidates": []}, 400), ({"candidates": [{"messages": ASKED, "replies": ["a"]}]}, 400),
                              ({"candidates": [{"messages": ASKED, "replies": ["a", "a"]}]}, 400),
                              ({"candidates": [{"messages": ASKED, "replies": ["a", ""]}]}, 400), ({}, 400)):
            server.json("/v1/feedback/next", wrong, status)
        self.assertEqual(server.json("/v1/feedback")["pairs"], 6)

    def test_says_which_lessons_made_it(self):
        """What a lesson that is taken back changes; the others are asked for in both orders and by themselves."""
        server = self.begin()
        asked = {"messages": [{"role": "user", "content": "question"}], "response": "aa, aaa", "than": "ee, eee"}
        self.assertEqual(server.json("/v1/feedback/influence", asked)["raise"], [])  # nothing is learnt yet
        lessons = [{"chosen": "aaaa", "rejected": "eeee"}, {"response": "a hen", "rating": 1}, {"chosen": "e", "rejected": "aa"},
                   {"chosen": "aa a", "rejected": "e ee"}]
        for i, lesson in enumerate(lessons):
            server.json("/v1/feedback", {"messages": [{"role": "user", "content": f"question {i}"}], **lesson})
        found = server.json("/v1/feedback/influence", asked)
        self.assertEqual(found["lessons"], 4)
        parts = {row["id"].split("-")[1]: row["influence"] for row in found["raise"] + found["lower"]}
        self.assertTrue(all(row["influence"] > 0 for row in found["raise"]) and all(row["influence"] < 0 for row in found["lower"]))
        self.assertEqual([row["influence"] for row in found["raise"]], sorted((row["influence"] for row in found["raise"]), reverse=True))
        self.assertGreater(parts["1"], 0)  # a rather than e
        self.assertGreater(parts["4"], 0)
        self.assertLess(parts["3"], 0)
        said = next(row for row in found["lower"] if row["id"].startswith("lesson-3-"))
        self.assertEqual((said["chosen"], said["rejected"], said["prompt"][-1]["content"]), ("e", "aa", "question 2"))
        turned = server.json("/v1/feedback/influence", {**asked, "response": asked["than"], "than": asked["response"]})
        self.assertAlmostEqual(turned["log_odds"], -found["log_odds"], places=6)
        self.assertEqual([row["id"] for row in turned["lower"]], [row["id"] for row in found["raise"]])
        alone = server.json("/v1/feedback/influence", {**asked, "than": None, "count": 1})
        self.assertLessEqual(len(alone["raise"]), 1)
        for wrong in ({"than": asked["response"]}, {"response": ""}, {"response": None}, {"count": 0}, {"messages": []}):
            server.json("/v1/feedback/influence", {**asked, **wrong}, 400)
        self.assertEqual(server.json("/v1/feedback")["pairs"], 3)

    def test_refuses_what_is_no_lesson(self):
        server = self.begin()
        for fields in [{}, {"chosen": "a"}, {"chosen": "a", "rejected": "a"}, {"response": "a"},
                       {"response": "a", "rating": 2}, {"chosen": "a", "rejected": "b", "response": "c", "rating": 1},
                       {"chosen": "", "rejected": "b"}, {"response": "", "rating": "up"}]:
            status, text = server.ask("/v1/feedback", {"messages": ASKED, **fields})
            self.assertEqual(status, 400, text)
        self.assertEqual(server.ask("/v1/feedback", {"chosen": "a", "rejected": "b"})[0], 400)
        self.assertEqual(server.json("/v1/feedback")["pairs"], 0)
        self.assertEqual(server.ask("/v1/feedback/last")[0], 405)
        self.assertEqual(os.path.getsize(self.file), 0)

    def test_goes_on_from_a_head_while_others_write(self):
        head = align(BINARY, MODEL, self.folder, "hens")
        server = self.begin("--head", head)
        self.assertEqual(text_of(server.chat(heads={"taught": 1})), text_of(server.chat(heads={"hens": 1})))
        with concurrent.futures.ThreadPoolExecutor(5) as threads:
            lessons = threads.submit(self.teach, server, 0, 6)
            replies = [threads.submit(server.chat, heads={"taught": 1, "hens": 0.5}, seed=i) for i in range(20)]
            self.assertEqual(lessons.result()["pairs"], 5)
            for reply in replies:
                self.assertIn(reply.result()["choices"][0]["finish_reason"], ("stop", "length"))
        self.assertEqual(server.rested()["writing"], 0)


if __name__ == "__main__":
    BINARY, MODEL = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1], verbosity=2)
