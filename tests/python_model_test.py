#!/usr/bin/env python3
"""The Python package with a model: replies and scores like those of the program, streams, datasets, the whole job.
Usage: python_model_test.py PROGRAM PACKAGE_FOLDER MODEL"""

import gc
import json
import os
import signal
import sys
import tempfile
import threading
import unittest

sys.dont_write_bytecode = True
import python_support  # noqa: E402
from python_support import run, tiny_pairs, write_lines  # noqa: E402

PROGRAM, MODEL = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[3])
coala_align = python_support.import_package(sys.argv[2])
import numpy  # noqa: E402


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = coala_align.Model(MODEL)
        cls.data = coala_align.Dataset.of_pairs(tiny_pairs())
        cls.features = coala_align.extract(cls.model, cls.data, pooling="last").features
        cls.head = coala_align.fit(cls.features).head

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = lambda name: os.path.join(folder.name, name)

    def program(self, command, *options):
        lines = run(PROGRAM, command, "--model", MODEL, "--device", "cpu", "--quiet", *options).splitlines()
        return [json.loads(line) for line in lines]


class Replies(Package):
    def check_replies(self, options, keywords):
        replies = coala_align.generate(self.model, "the hen", max_tokens=24, **keywords)
        lines = self.program("generate", "--prompt", "the hen", "--max-tokens", 24, *options)
        for reply, line in zip(replies if isinstance(replies, list) else [replies], lines, strict=True):
            self.assertEqual((reply.text, reply.tokens, reply.finish), (line["text"], line["tokens"], line["finish"]))
            self.assertAlmostEqual(reply.log_probability, line["log_probability"], places=4)
            if "score" in line:
                self.assertAlmostEqual(reply.score, line["score"], places=4)

    def test_are_those_of_the_program(self):
        self.check_replies(["--temperature", 0], {"temperature": 0})
        self.check_replies(["--seed", 5, "--samples", 3, "--top-k", 9, "--repeat-penalty", 1.2],
                           {"seed": 5, "samples": 3, "top_k": 9, "repeat_penalty": 1.2})
        self.check_replies(["--logit-bias", "57-inf", "--temperature", 0],
                           {"logit_bias": {57: float("-inf")}, "temperature": 0})
        self.head.save(self.path("head"))
        for guidance in ("best-of-n", "sentence", "branch"):
            self.check_replies(["--head", self.path("head"), "--guidance", guidance, "--num-candidates", 3],
                               {"head": self.head, "guidance": guidance, "num_candidates": 3})
        self.check_replies(["--head", self.path("head"), "--guidance", "branch", "--guide-every", 2, "--guidance-scale", 4],
                           {"head": self.head, "guidance": "branch", "guide_every": 2, "guidance_scale": 4})

    def test_pieces_join_to_the_text(self):
        for keywords in ({"temperature": 0}, {"seed": 3}, {"head": self.head, "guidance": "branch"}):
            reply = coala_align.generate(self.model, "the hen", max_tokens=24, **keywords)
            stream = coala_align.stream(self.model, "the hen", max_tokens=24, **keywords)
            pieces = list(stream)
            self.assertGreater(len(pieces), 3)
            self.assertEqual("".join(pieces), reply.text)
            self.assertEqual(stream.reply, reply)

    def test_streams_may_be_left(self):
        with coala_align.stream(self.model, "the hen", max_tokens=200) as stream:
            self.assertTrue(next(stream))
        self.assertEqual(list(stream), [])
        self.assertIsNone(stream.reply)
        next(coala_align.stream(self.model, "the hen", max_tokens=200))
        gc.collect()
        self.assertGreater(coala_align.stream(self.model, "the hen", max_tokens=24).reply.tokens, 0)

    def test_prompts(self):
        said = coala_align.generate(self.model, "the hen", temperature=0)
        self.assertEqual(coala_align.generate(self.model, [{"role": "user", "content": "the hen"}], temperature=0), said)
        self.assertNotEqual(coala_align.generate(self.model, {"prefix": "the hen"}, temperature=0), said)
        for prompt in (5, [], [{"role": "user"}], [{"role": "user", "content": 5}], {"text": "x"}):
            with self.assertRaises(coala_align.Error) as caught:
                coala_align.generate(self.model, prompt)
            self.assertEqual(caught.exception.code, "bad input")

    def test_what_does_not_go_together_is_refused(self):
        for keywords, words in (({"guidance": "token"}, "goes by a head, and there is none"),
                                ({"guide_every": 3}, "guide_every does not go with the guidance none"),
                                ({"head": self.head, "guidance_scale": 2}, "guidance_scale does not go with .* best-of-n"),
                                ({"head": self.head, "guidance": "token"}, "has no token head"),
                                ({"guidance": "nice"}, "guidance is 'nice'; it must be 'best-of-n', "),
                                ({"top_p": 2}, "top_p is 2; it must be above 0 and at most 1"),
                                ({"logit_bias": {999: 1}}, "for token 999; the vocabulary has 298")):
            with self.assertRaisesRegex(coala_align.Error, words):
                coala_align.generate(self.model, "the hen", **keywords)
        with self.assertRaisesRegex(coala_align.Error, "best-of-n keeps one of several"):
            coala_align.stream(self.model, "the hen", head=self.head)
        with self.assertRaises(TypeError):
            coala_align.generate(self.model, "the hen", head=self.head, heads={self.head: 1})

    def test_threads_share_a_model(self):
        alone = [coala_align.generate(self.model, "the hen", seed=seed, max_tokens=60) for seed in range(4)]
        replies = [None] * 4

        def write(seed):
            replies[seed] = coala_align.generate(self.model, "the hen", seed=seed, max_tokens=60)

        workers = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertEqual([reply.text for reply in replies], [reply.text for reply in alone])

    def test_ctrl_c_ends_a_stream(self):
        def interrupted():
            for _ in range(1000):
                for piece in coala_align.stream(self.model, "the hen", max_tokens=200):
                    self.assertTrue(piece)

        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with self.assertRaises(KeyboardInterrupt):
            interrupted()
        self.assertTrue(coala_align.generate(self.model, "the hen", temperature=0).text)


class Data(Package):
    def test_records_come_back(self):
        pair = {"id": "a", "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
                "chosen": "x", "rejected": "y", "margin": 0.5, "weight": 2.0, "subset": "p", "group": "g"}
        data = coala_align.Dataset.of_pairs([pair, {"prefix": "t", "chosen": "x", "rejected": "y"}])
        self.assertEqual((data[0], data[-1]["prefix"], data[1]["id"], len(data)), (pair, "t", "2", 2))
        self.assertEqual(len(list(data)), 2)
        with self.assertRaises(IndexError):
            data[2]
        labelled = {"id": "a", "prompt": pair["prompt"], "response": "x", "label": -1}
        self.assertEqual(coala_align.Dataset.of_labelled([labelled])[0], labelled)
        for record, words in (({"chosen": "x"}, "record 1 .* has no 'rejected'"),
                              ({"chosen": "x", "rejected": "y", "picture": 1}, 'the column "picture", which is not read'),
                              ({"chosen": 5, "rejected": "y"}, "'chosen' is of the type int; expected a text")):
            with self.assertRaisesRegex(coala_align.Error, words):
                coala_align.Dataset.of_pairs([record])

    def test_files_and_lists_have_the_same_features(self):
        write_lines(self.path("a.jsonl"), tiny_pairs()[:20])
        write_lines(self.path("b.jsonl"), tiny_pairs()[20:])
        data = coala_align.Dataset.read(self.path("a.jsonl"), self.path("b.jsonl"))
        run(PROGRAM, "extract", "--model", MODEL, "--device", "cpu", "--data", self.path("a.jsonl"), self.path("b.jsonl"),
            "--out", self.path("program"), "--pooling", "last", "--quiet")
        coala_align.extract(self.model, data, out=self.path("package"), pooling="last")
        with open(self.path("program"), "rb") as program, open(self.path("package"), "rb") as package:
            self.assertEqual(program.read(), package.read())
        extraction = coala_align.extract(self.model, data, pooling="last")
        self.assertEqual(list(extraction.records), list(range(40)))
        for name, array in extraction.features.arrays().items():
            self.assertTrue(numpy.array_equal(array, self.features.arrays()[name]), name)
        with self.assertRaisesRegex(coala_align.Error, "prefix_rows is given"):
            coala_align.extract(self.model, data, prefix_rows=4)

    def test_scores_are_those_of_the_program(self):
        self.head.save(self.path("head"))
        responses = ["an inn sand", "hen hen"]
        scores = coala_align.score(self.model, self.head, "the hen", responses)
        lines = self.program("score", "--head", self.path("head"), "--prompt", "the hen",
                             *(word for text in responses for word in ("--response", text)))
        self.assertEqual(list(scores), [line["score"] for line in lines])

    def test_the_whole_job_is_that_of_the_program(self):
        write_lines(self.path("pairs.jsonl"), tiny_pairs())
        settings = {"pooling": "last", "gates": 4, "seed": 2, "token_rank": 8, "eval_fraction": 0.5}
        aligned = coala_align.align(model=MODEL, data=self.path("pairs.jsonl"), out=self.path("out"), **settings)
        run(PROGRAM, "align", "--model", MODEL, "--device", "cpu", "--data", self.path("pairs.jsonl"), "--out", self.path("program"),
            "--pooling", "last", "--gates", 4, "--seed", 2, "--token-rank", 8, "--eval-fraction", 0.5, "--quiet")
        with open(self.path("program/head.safetensors"), "rb") as program, open(aligned.head, "rb") as package:
            self.assertEqual(program.read(), package.read())
        self.assertEqual((aligned.guides, aligned.up_to_date), (True, False))
        self.assertEqual(aligned.metrics["eval_rewards/accuracies"], aligned.accuracy.value)
        head = coala_align.Head.load(aligned.head)
        texts = [coala_align.generate(self.model, "the hen", temperature=0, **keywords).text
                 for keywords in ({"head": head, "guidance_scale": 3}, {"heads": {head: 3}}, {"head": head}, {})]
        self.assertEqual(texts[0], texts[1])
        self.assertNotEqual(texts[0], texts[3])
        exported = coala_align.export(self.model, head, self.path("adapter.gguf"), format="lora")
        self.assertEqual((exported.adapter, exported.bytes), (True, os.path.getsize(self.path("adapter.gguf"))))
        again = coala_align.align(model=MODEL, data=[self.path("pairs.jsonl")], out=self.path("out"), **settings)
        self.assertTrue(again.up_to_date)

    def test_models_that_are_none(self):
        for call in (lambda: coala_align.Model(self.path("nothing")), lambda: coala_align.Model(__file__)):
            with self.assertRaises(coala_align.Error):
                call()
        with self.assertRaises(TypeError):
            coala_align.Model(MODEL, lora_scal=2)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
