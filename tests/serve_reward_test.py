#!/usr/bin/env python3
"""The endpoints of `coala serve` that score, asked in the shapes of vLLM's, SGLang's, OpenRLHF's and the rerankers'
clients: scores are those of `coala score` bit for bit, whatever else is scored with them.
Usage: serve_reward_test.py BINARY MODEL.gguf"""

import concurrent.futures
import json
import math
import os
import random
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True

from coala_server import QUESTION, Server, align, start, stop  # noqa: E402

DOCUMENTS = ["the hen 7", "a tree, maybe", "an inn", "the hen and the inn and the hen and the tree", "x"]


class Rewards(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        start(cls, BINARY, MODEL)

    @classmethod
    def tearDownClass(cls):
        stop(cls)

    def scored(self, items):
        """By `coala score`: [(prompt, response)] to [(score, probability)]."""
        path = os.path.join(self.folder, "items.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"prompt": [{"role": "user", "content": prompt}], "response": response}) + "\n"
                            for prompt, response in items)
        said = subprocess.run([BINARY, "score", "--model", MODEL, "--head", self.head, "--data", path, "--quiet"],
                              capture_output=True, text=True, check=True)
        lines = [json.loads(line) for line in said.stdout.splitlines()]
        return [(line["score"], line["probability"]) for line in lines]

    def rendered(self):
        """The question as the model's template writes it, control tokens as text."""
        tokens = self.server.json("/tokenize", {"messages": [{"role": "user", "content": QUESTION}]})["tokens"]
        return self.server.json("/detokenize", {"tokens": tokens})["content"]

    def test_scores_are_those_of_the_command(self):
        expected = self.scored([(QUESTION, document) for document in DOCUMENTS])
        for path in ("/v1/score", "/score"):
            answer = self.server.json(path, {"model": "tiny-llama", "queries": QUESTION, "documents": DOCUMENTS})
            self.assertEqual([one["score"] for one in answer["data"]], [score for score, _ in expected])
            self.assertEqual([one["index"] for one in answer["data"]], [0, 1, 2, 3, 4])
        self.assertEqual(answer["object"], "list")
        self.assertEqual(answer["coala"]["scale"], "log-odds")
        self.assertGreater(answer["usage"]["prompt_tokens"], 5)
        zipped = self.server.json("/v1/score", {"text_1": [QUESTION] * 5, "text_2": DOCUMENTS, "normalize": True})
        self.assertEqual([one["score"] for one in zipped["data"]], [probability for _, probability in expected])
        self.assertEqual(zipped["coala"]["scale"], "probability")

    def test_what_else_is_scored_changes_nothing(self):
        """Of the command and of the server: alone, among others, in any order, from many clients at once."""
        draw = random.Random(3)
        words = ["hen", "inn", "tree", "maybe", "and", "the"]
        items = [(" ".join(draw.choices(words, k=draw.randint(1, 30))), " ".join(draw.choices(words, k=draw.randint(1, 60))))
                 for _ in range(48)]
        together = [score for score, _ in self.scored(items)]
        shuffled = list(range(48))
        draw.shuffle(shuffled)
        again = [score for score, _ in self.scored([items[i] for i in shuffled])]
        self.assertEqual(again, [together[i] for i in shuffled])
        self.assertEqual([self.scored([items[i]])[0][0] for i in (0, 20, 47)], [together[i] for i in (0, 20, 47)])

        def served(i):
            answer = self.server.json("/v1/score", {"queries": items[i][0], "documents": items[i][1]})
            return answer["data"][0]["score"]

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            self.assertEqual(list(pool.map(served, range(48))), together)

    def test_rerank(self):
        expected = [score for score, _ in self.scored([(QUESTION, document) for document in DOCUMENTS])]
        order = sorted(range(5), key=lambda i: -expected[i])
        for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
            answer = self.server.json(path, {"query": QUESTION, "documents": [DOCUMENTS[0], *({"text": text} for text in
                                                                                               DOCUMENTS[1:])],
                                             "top_n": 3, "return_documents": True})
            self.assertEqual([one["index"] for one in answer["results"]], order[:3])
            self.assertEqual([one["relevance_score"] for one in answer["results"]], [expected[i] for i in order[:3]])
            self.assertEqual([one["document"]["text"] for one in answer["results"]], [DOCUMENTS[i] for i in order[:3]])
            for field in ("id", "meta", "usage", "model"):
                self.assertTrue(answer[field])
        answer = self.server.json("/rerank", {"query": QUESTION, "documents": DOCUMENTS})
        self.assertEqual(len(answer["results"]), 5)
        self.assertNotIn("document", answer["results"][0])

    def test_openrlhf(self):
        """A prompt and a response rendered by the model's own template, with its tokens as text."""
        expected = [score for score, _ in self.scored([(QUESTION, document) for document in DOCUMENTS])]
        prompt = self.rendered().removeprefix("<s>")
        self.assertIn(QUESTION, prompt)
        for ends in ("", "</s>", "<|end|>\n", "<|end|></s></s>"):
            for bos in ("", "<s>"):
                queries = [bos + prompt + document + ends for document in DOCUMENTS]
                for more in ({}, {"prompts": [bos + prompt] * 5, "labels": ["?"] * 5}, {"prompts": [bos + prompt] * 5}):
                    answer = self.server.json("/get_reward", {"query": queries, **more})
                    self.assertEqual(answer["rewards"], expected, (ends, bos, more))
                    self.assertEqual(answer["scores"], expected)
        self.assertEqual(answer["extra_logs"]["truncated"], [0] * 5)
        one = self.server.json("/get_reward", {"query": [queries[2]]})
        self.assertEqual(one["rewards"], [expected[2]])

    def test_vllm_and_sglang(self):
        expected = [score for score, _ in self.scored([(QUESTION, document) for document in DOCUMENTS])]
        conversations = [[{"role": "user", "content": QUESTION}, {"role": "assistant", "content": document}]
                         for document in DOCUMENTS]
        texts = [self.rendered() + document for document in DOCUMENTS]
        for body in ({"messages": conversations}, {"input": texts}):
            classified = self.server.json("/classify", body)
            self.assertEqual([one["probs"] for one in classified["data"]], [[score] for score in expected])
            self.assertEqual([one["num_classes"] for one in classified["data"]], [1] * 5)
            pooled = self.server.json("/pooling", body)
            self.assertEqual([one["data"] for one in pooled["data"]], [[score] for score in expected])
        self.assertEqual(self.server.json("/classify", {"messages": conversations[1]})["data"][0]["probs"],
                         [expected[1]])
        sglang = self.server.json("/classify", {"text": texts})
        self.assertEqual([one["embedding"] for one in sglang], [[score] for score in expected])
        self.assertEqual(sglang[0]["scale"], "log-odds")

    def test_one_bad_item_fails_no_other(self):
        expected = [score for score, _ in self.scored([(QUESTION, "an inn")])]
        answer = self.server.json("/v1/score", {"queries": QUESTION, "documents": ["", "an inn"]})
        self.assertIsNone(answer["data"][0]["score"])
        self.assertIn("no tokens", answer["data"][0]["error"])
        self.assertEqual(answer["data"][1]["score"], expected[0])
        ranked = self.server.json("/rerank", {"query": QUESTION, "documents": ["", "an inn"]})
        self.assertEqual([one["index"] for one in ranked["results"]], [1])
        self.assertEqual(ranked["errors"][0]["index"], 0)
        rewards = self.server.json("/get_reward", {"query": ["", "an inn"]})
        self.assertIsNone(rewards["rewards"][0])
        self.assertEqual(rewards["errors"][0]["index"], 0)
        error = self.server.json("/v1/score", {"queries": QUESTION, "documents": ""}, 400)["error"]
        self.assertEqual(error["code"], "no_item_scored")

    def test_what_is_too_long(self):
        """It is cut as it is asked for, and marked; the other items are not."""
        long = "the hen " * 2000
        for truncate in (None, True, "left", "right"):
            answer = self.server.json("/v1/score", {"queries": QUESTION, "documents": [long, "an inn"],
                                                    "truncate": truncate})
            self.assertTrue(answer["data"][0]["truncated"])
            self.assertTrue(math.isfinite(answer["data"][0]["score"]))
            self.assertNotIn("truncated", answer["data"][1])
        for truncate in (False, "none"):
            answer = self.server.json("/v1/score", {"queries": QUESTION, "documents": [long, "an inn"],
                                                    "truncate": truncate})
            self.assertIsNone(answer["data"][0]["score"])
            self.assertIn("tokens", answer["data"][0]["error"])
            self.assertIsNotNone(answer["data"][1]["score"])
        start = [self.server.json("/v1/score", {"queries": QUESTION, "documents": text, "truncate": "right"})["data"][0]
                 for text in (long, long + "a tree")]
        self.assertEqual(start[0]["score"], start[1]["score"])
        end = [self.server.json("/v1/score", {"queries": QUESTION, "documents": text, "truncate": "left"})["data"][0]
               for text in (long, "a tree " + long)]
        self.assertEqual(end[0]["score"], end[1]["score"])
        fit = self.scored([(QUESTION, long)])[0][0]
        self.assertEqual(self.server.json("/v1/score", {"queries": QUESTION, "documents": long})["data"][0]["score"],
                         fit)

    def test_what_is_no_document_fails_alone(self):
        good = self.server.json("/v1/score", {"queries": QUESTION, "documents": DOCUMENTS[:2]})["data"]
        mixed = [DOCUMENTS[0], None, 7, {"title": "a"}, {"text": None}, [], {"text": DOCUMENTS[1]}]
        for texts in ("documents", "text_2"):
            data = self.server.json("/v1/score", {"queries": QUESTION, texts: mixed})["data"]
            self.assertEqual([one["score"] for one in data], [good[0]["score"], *[None] * 5, good[1]["score"]])
            self.assertTrue(all("text" in one["error"] for one in data[1:6]))
        ranked = self.server.json("/rerank", {"query": QUESTION, "documents": mixed, "return_documents": True})
        self.assertEqual({one["index"] for one in ranked["results"]}, {0, 6})
        self.assertEqual([one["index"] for one in ranked["errors"]], [1, 2, 3, 4, 5])
        error = self.server.json("/rerank", {"query": "x", "documents": [None]}, 400)["error"]
        self.assertEqual(error["code"], "no_item_scored")

    def test_what_was_taught_does_not_score(self):
        server = Server(BINARY, MODEL, "--head", self.head, "--teach", os.path.join(self.folder, "lessons.jsonl"))
        for name in ("base+taught", "tiny-llama+taught", "taught"):
            error = server.json("/v1/score", {"queries": "x", "documents": "y", "model": name}, 400)["error"]
            self.assertEqual((error["param"], "does not score" in error["message"]), ("model", True), error)
        server.json("/v1/score", {"queries": "x", "documents": "y", "model": "base+hens"})
        server.stop()

    def test_what_is_wrong(self):
        for path, body, param in (("/v1/score", {"queries": "x"}, "documents"),
                                  ("/v1/score", {"queries": ["x", "y"], "documents": ["a", "b", "c"]}, "queries"),
                                  ("/v1/score", {"queries": "x", "documents": []}, "documents"),
                                  ("/v1/score", {"queries": "x", "documents": ["a"] * 1025}, "documents"),
                                  ("/v1/score", {"queries": "x", "documents": ["a"], "truncate": 7}, "truncate"),
                                  ("/rerank", {"query": "x", "documents": ["a"], "top_n": 0}, "top_n"),
                                  ("/get_reward", {"prompts": ["x"]}, "query"),
                                  ("/get_reward", {"query": ["x", "y"], "prompts": ["x"]}, "prompts"),
                                  ("/classify", {}, "input"),
                                  ("/classify", {"messages": [{"role": "user", "content": "x"}]}, "messages"),
                                  ("/pooling", {"input": "x", "encoding_format": "base64"}, "encoding_format"),
                                  ("/pooling", {"input": "x", "softmax": True}, "softmax")):
            error = self.server.json(path, body, 400)["error"]
            self.assertEqual(error["param"].split("[")[0], param, (path, body, error))
        self.server.json("/v1/score", {"queries": "x", "documents": "y", "model": "gpt-4"}, 404)
        self.server.json("/rerank", {"query": "x" * 100_000, "documents": ["a"] * 1024}, 413)  # 100 MB together
        answer = self.server.json("/v1/score", {"queries": "x", "documents": "y", "priority_class": 1})
        self.assertIn("priority_class", answer["warnings"][0])

    def test_heads(self):
        """Of several heads one must be named; one without a token head scores and does not guide; none scores nothing."""
        plain = align(BINARY, MODEL, self.folder, "plain", seed=1, token_rank=0)
        server = Server(BINARY, MODEL, "--head", self.head, "--head", plain)
        body = {"queries": QUESTION, "documents": DOCUMENTS}
        self.assertEqual(server.json("/v1/score", body, 400)["error"]["param"], "model")
        hens, other = (server.json("/v1/score", {**body, "model": name}) for name in ("base+hens", "plain"))
        self.assertEqual(hens["data"], self.server.json("/v1/score", body)["data"])
        self.assertNotEqual(hens["data"], other["data"])
        self.assertNotEqual(hens["coala"]["digest"], other["coala"]["digest"])
        cards = {one["id"]: one.get("head") for one in server.json("/v1/models")["data"]}
        self.assertEqual([cards["tiny-llama+hens"]["guides"], cards["tiny-llama+plain"]["guides"]], [True, False])
        self.assertIn("score.deviation", cards["tiny-llama+plain"])
        answer = server.chat(model="base+plain", num_candidates=2)  # it chooses among replies
        self.assertEqual(answer["coala"]["guidance"], "best-of-n")
        self.assertIsInstance(answer["choices"][0]["score"], float)
        self.assertEqual(server.chat(400, model="base+plain", guidance="token")["error"]["param"], "guidance")
        server.stop()
        server = Server(BINARY, MODEL)
        self.assertEqual(server.json("/v1/score", body, 503)["error"]["code"], "no_reward_head")
        server.stop()

    def test_scoring_beside_writing(self):
        """Scores come while replies are written, and both are what they are alone."""
        expected = [score for score, _ in self.scored([(QUESTION, document) for document in DOCUMENTS])]
        text = self.server.chat()["choices"][0]["message"]["content"]
        before = self.server.metrics()

        def ask(i):
            if i % 2:
                return self.server.chat()["choices"][0]["message"]["content"] == text
            answer = self.server.json("/v1/score", {"queries": QUESTION, "documents": DOCUMENTS})
            return [one["score"] for one in answer["data"]] == expected

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.assertTrue(all(pool.map(ask, range(32))))
        self.assertEqual(self.server.metrics()["coala_scored_items_total"] - before["coala_scored_items_total"], 16 * 5)
        self.assertEqual(self.server.metrics()["coala_items_waiting"], 0)


if __name__ == "__main__":
    BINARY, MODEL = sys.argv.pop(1), sys.argv.pop(1)
    unittest.main()
