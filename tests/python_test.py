#!/usr/bin/env python3
"""The Python package without a model: heads like those of `coala train`, keywords as the lists of settings have them,
errors, news, Ctrl-C and threads. Usage: python_test.py PROGRAM PACKAGE_FOLDER"""

import inspect
import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import unittest

sys.dont_write_bytecode = True
import python_support  # noqa: E402
from python_support import pair_arrays, run, write_features  # noqa: E402

PROGRAM = os.path.abspath(sys.argv[1])
coala_align = python_support.import_package(sys.argv[2])
import numpy  # noqa: E402
from coala_align import _coala  # noqa: E402

# The functions with settings, and the lists that they take.
LISTS = {
    "fit": ["FitSettings"],
    "extract": ["FeatureKeywords", "FeatureSettings"],
    "align": ["AlignKeywords", "FeatureKeywords", "FeatureSettings", "FitSettings"],
    "generate": ["SampleKeywords", "ReplyKeywords", "SamplerOptions", "BranchSettings"],
    "stream": ["ReplyKeywords", "SamplerOptions", "BranchSettings"],
    "export": ["ExportKeywords"],
}
NEVER_ENDING = {"model_class": "cronos", "cronos_iterations": 100000}


def leaves(value):
    return sum(map(leaves, value.values())) if isinstance(value, dict) else 1


def other(setting):
    """Another value that it may have."""
    words = setting["limits"]
    if setting["kind"] == "bool":
        return not setting["default"]
    if words.startswith("'"):
        return next(name for name in words.replace(" or ", ", ").replace("'", "").split(", ") if name != setting["default"])
    if setting["kind"] == "str":
        return "other"
    if setting["kind"] == "int":
        return 9 if setting["default"] != 9 else 10
    return 0.5 if setting["default"] != 0.5 else 0.25


class Settings(unittest.TestCase):
    def test_every_setting_of_a_list_is_a_keyword(self):
        for function, lists in LISTS.items():
            parameters = inspect.signature(getattr(coala_align, function)).parameters
            for setting in [setting for name in lists for setting in _coala.describe(name)]:
                self.assertEqual(parameters[setting["name"]].default, setting["default"], setting)
                self.assertIn(setting["name"], getattr(coala_align, function).__doc__)
                self.assertTrue(setting["about"], setting)

    def test_every_keyword_changes_a_setting_of_its_own(self):
        """By the JSON that the program makes of the settings, which knows nothing of keywords."""
        for name in sorted({name for lists in LISTS.values() for name in lists}):
            listed = _coala.describe(name)
            standard = json.loads(_coala.settings_json(name, {}))
            self.assertEqual(leaves(standard), len(listed), name)
            seen = {json.dumps(standard)}
            for setting in listed:
                changed = _coala.settings_json(name, {setting["name"]: other(setting)})
                self.assertNotIn(json.dumps(json.loads(changed)), seen, setting)
                seen.add(json.dumps(json.loads(changed)))

    def test_an_unknown_keyword_names_the_nearest(self):
        features = coala_align.Features.of_pairs(*pair_arrays())
        with self.assertRaisesRegex(TypeError, r"^fit\(\) .* 'cronos_betta'. The nearest is 'cronos_beta'$"):
            coala_align.fit(features, cronos_betta=1)
        with self.assertRaisesRegex(TypeError, "'gates'"):
            coala_align.align(model="m", data="d", out="o", gate=1)
        with self.assertRaisesRegex(TypeError, "'samples'"):
            coala_align.stream(None, "x", samples=2)

    def test_values_out_of_range_are_told_with_the_range(self):
        features = coala_align.Features.of_pairs(*pair_arrays())
        for keywords, words in (({"gates": -1}, "gates is -1; it must be 0 to 4096"),
                                ({"gates": 10**30}, f"gates is {10**30}; it must be 0 to 4096"),
                                ({"selection_folds": 1}, "selection_folds is 1; it must be 2 to 100"),
                                ({"tolerance": float("nan")}, "tolerance is nan; it must be a finite number, 1e-07 to 1"),
                                ({"loss": "hinge"}, "loss is 'hinge'; it must be 'squared', 'logistic' or 'bt'"),
                                ({"seed": 2**64}, f"seed is {2**64}; it must be 0 to 1.8446744073709552e+19"),
                                ({"threads": -1}, "threads is -1; it must be 0 or more")):
            with self.assertRaises(coala_align.Error) as caught:
                coala_align.fit(features, **keywords)
            self.assertEqual((caught.exception.code, caught.exception.message), ("bad usage", words))

    def test_values_of_another_type(self):
        features = coala_align.Features.of_pairs(*pair_arrays())
        for keywords, words in (({"gates": 1.5}, "gates must be a whole number, not float"),
                                ({"gates": True}, "gates must be a whole number, not bool"),
                                ({"tolerance": "x"}, "tolerance must be a number, not str"),
                                ({"as_relu": 1}, "as_relu must be True or False, not int")):
            with self.assertRaisesRegex(TypeError, words):
                coala_align.fit(features, **keywords)
        coala_align.fit(features, gates=numpy.int32(2), tolerance=numpy.float32(1e-3))


class Heads(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = lambda name: os.path.join(folder.name, name)
        self.chosen, self.rejected = pair_arrays()
        self.features = coala_align.Features.of_pairs(self.chosen, self.rejected)

    def bytes_of(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def train(self, *options):
        write_features(self.path("f"), chosen=self.chosen, rejected=self.rejected)
        run(PROGRAM, "train", "--features", self.path("f"), "--eval-features", self.path("f"), "--out",
            self.path("trained"), "--quiet", *options)
        return self.bytes_of("trained")

    def test_are_those_of_the_program_byte_for_byte(self):
        for options, keywords in (([], {}), (["--seed", "3", "--gates", "4"], {"seed": 3, "gates": 4}),
                                  (["--model-class", "cronos", "--cronos-beta", "0.01", "--phase2-objective", "pairwise"],
                                   {"model_class": "cronos", "cronos_beta": 0.01, "phase2_objective": "pairwise"})):
            trained = self.train(*options)
            for features in (self.features, coala_align.Features.load(self.path("f"))):
                fit = coala_align.fit(features, **keywords)
                fit.head.save(self.path("fitted"))
                self.assertEqual(self.bytes_of("fitted"), trained)
            self.assertEqual(fit.certificate is None, "model_class" in keywords)

    def test_score_rows_as_one_by_one(self):
        head = coala_align.fit(self.features).head
        head.save(self.path("head"))
        self.assertEqual(coala_align.Head.load(self.path("head")).metadata, head.metadata)
        scores = head.score(self.chosen)
        self.assertEqual((scores.shape, scores.dtype), ((200,), numpy.float64))
        self.assertEqual([head.score(row) for row in self.chosen], list(scores))
        self.assertEqual(list(head.score(self.chosen[::2].astype(float))), list(scores[::2]))
        self.assertTrue(numpy.array_equal(head.scores(self.features)["chosen"], scores))
        self.assertAlmostEqual(head.probability(0.0) + head.probability(-0.0), 1)
        self.assertEqual(list(head.probability(scores)), [head.probability(score) for score in scores])
        accuracy = float(numpy.mean(scores > head.score(self.rejected)))
        evaluation = coala_align.evaluate(head, self.features)
        self.assertEqual((evaluation.rows, evaluation.accuracy.value), (200, accuracy))
        self.assertEqual(evaluation.metrics["eval_rewards/accuracies"], accuracy)

    def test_of_labelled_rows(self):
        rows = numpy.concatenate([self.chosen, self.rejected])
        labels = numpy.repeat([1, -1], 200)
        features = coala_align.Features.of_labelled(rows, labels, prompt=numpy.tile(numpy.arange(200), 2))
        self.assertEqual((len(features), features.pairs, features.dimension), (400, False, 16))
        self.assertTrue(numpy.array_equal(features.arrays()["labels"], labels))
        self.assertTrue(numpy.array_equal(features.arrays()["features"], rows))
        self.assertIsNotNone(coala_align.evaluate(coala_align.fit(features).head, features).area)

    def test_arrays_that_cannot_be_are_refused(self):
        of_pairs = coala_align.Features.of_pairs
        for arrays, words in (((self.chosen, self.rejected[1:]), "'rejected' has 3184 entries; expected 3200"),
                              ((self.chosen[0], self.rejected), "'chosen' is an array of 1 dimensions; expected 2"),
                              (([[numpy.inf]], [[1]]), "'chosen' has the value inf in row 0, column 0")):
            with self.assertRaisesRegex(coala_align.Error, words):
                of_pairs(*arrays)
        with self.assertRaises(TypeError):
            of_pairs(self.chosen, self.rejected, prompt=[0.5] * 200)
        with self.assertRaisesRegex(coala_align.Error, "15 features are given; the head is for 16"):
            coala_align.fit(self.features).head.score(self.chosen[0, :15])
        with self.assertRaises(coala_align.Error) as caught:
            coala_align.Head.load(self.path("nothing"))
        self.assertEqual(caught.exception.code, "bad input")
        self.assertIn(caught.exception.hint, str(caught.exception))


class Begun(Exception):
    pass


class Calls(unittest.TestCase):
    def setUp(self):
        self.features = coala_align.Features.of_pairs(*pair_arrays(400, 64))

    def test_news_are_logged_or_handed_on(self):
        with self.assertLogs("coala_align", logging.DEBUG) as logged:
            coala_align.fit(self.features)
        told = []
        coala_align.fit(self.features, news=told.append)
        self.assertEqual({news.kind for news in told}, {"progress"})
        self.assertTrue(all(news.text and news.progress["stage"] for news in told))
        self.assertTrue(told[-1].progress["ended"])
        self.assertTrue(all(record.levelno == logging.DEBUG for record in logged.records))
        with self.assertRaisesRegex(TypeError, "callable"):
            coala_align.fit(self.features, news=5)

    def test_what_the_news_raise_ends_the_call(self):
        def refuse(news):
            raise ValueError(news.kind)

        with self.assertRaisesRegex(ValueError, "progress"):
            coala_align.fit(self.features, news=refuse, **NEVER_ENDING)

    def test_ctrl_c_ends_the_call(self):
        for _ in range(2):
            start = time.monotonic()
            threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT)).start()
            with self.assertRaises(KeyboardInterrupt):
                coala_align.fit(self.features, **NEVER_ENDING)
            self.assertLess(time.monotonic() - start, 60)
        self.assertEqual(coala_align.fit(self.features).status, "Solved")

    def test_threads_work_at_once_and_python_goes_on(self):
        """Each fit of a never-ending two waits until the other has begun, so neither holds the interpreter."""
        begun = threading.Barrier(2, timeout=60)
        results = []

        def work(seed):
            waited = []

            def once(_news):
                if not waited:
                    waited.append(begun.wait())
                raise Begun

            try:
                coala_align.fit(self.features, seed=seed, threads=1, news=once, **NEVER_ENDING)
            except Begun:
                results.append(coala_align.fit(self.features, seed=seed, threads=1, gates=4).held_out_loss)

        workers = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        alone = [coala_align.fit(self.features, seed=seed, threads=1, gates=4).held_out_loss for seed in (1, 2)]
        self.assertEqual(sorted(results), sorted(alone))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
