#!/usr/bin/env python3
"""The report as its readers get it: what it must show, that its numbers are those of metrics.json, that it is
well-formed and needs nothing from elsewhere, and, where a Chromium is installed, that it fits its window.
Usage: report_test.py BINARY"""

import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "files", "tiny-llama.gguf")
HOSTILE = "</dd><script>alert(1)</script> \x01 & \"quoted\" é"
SECTIONS = ["inputs", "accuracy", "token-head", "margins", "calibration", "length", "subsets", "phase1", "phase2",
            "checks", "cost", "examples", "reproduce"]
FIGURES = ["fig-accuracy", "fig-margins", "fig-reliability", "fig-path", "fig-phase2-loss", "fig-phase2-reward",
           "fig-time", "fig-flops"]
PAIR_FIGURES = ["fig-token", "fig-length", "fig-subsets-length_ratio", "fig-subsets-margin"]
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "chrome"]


def run(folder, *arguments):
    result = subprocess.run([BINARY, *arguments, "--quiet"], cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def responses(rng):
    """A good and a bad response; one in five is hard to tell."""
    words = "the hen and inn a tree ran in sand".split()
    text = " ".join(rng.choice(words) for _ in range(rng.randint(4, 12)))
    polite, rude = "certainly, " + text, "NO " + text.upper()
    return (polite, rude) if rng.random() < 0.8 else (rude, polite)


def write_pairs(path, count):
    rng = random.Random(1)
    with open(path, "w", encoding="utf-8") as file:
        for i in range(count):
            chosen, rejected = responses(rng)
            print(json.dumps({"prompt": f"question {i} {HOSTILE}", "chosen": chosen, "rejected": rejected,
                              "margin": rng.random()}), file=file)


def write_labelled(path, count):
    rng = random.Random(2)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(count):
            good, bad = responses(rng)
            print(json.dumps({"text": good, "label": 1}), file=file)
            print(json.dumps({"text": bad, "label": 0}), file=file)


class Report:
    """A report and the metrics it is about."""

    def __init__(self, path, metrics):
        self.metrics = metrics
        with open(path, encoding="utf-8") as file:
            self.source = file.read()
        self.root = xml.fromstring(self.source)
        self.parents = {child: parent for parent in self.root.iter() for child in parent}
        self.by_id = {}
        for element in self.root.iter():
            if "id" in element.attrib:
                assert element.get("id") not in self.by_id, f"{element.get('id')} is there twice"
                self.by_id[element.get("id")] = element

    def text(self, name):
        return " ".join("".join(self.by_id[name].itertext()).split())

    def alerts(self):
        return " ".join("".join(element.itertext()) for element in self.root.iter() if element.get("role") == "alert")


class ReportTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="coala-report-")
        write_pairs(os.path.join(cls.folder, "pairs.jsonl"), 160)
        write_labelled(os.path.join(cls.folder, "labelled.jsonl"), 60)
        align = ["align", "--model", MODEL, "--data", "pairs.jsonl", "--eval-fraction", "0.4", "--json"]
        cls.pairs = cls.report("aligned/report.html", *align, "--out", "aligned")
        leaking = [argument if argument != "--eval-fraction" else "--eval-data" for argument in align]
        leaking[leaking.index("0.4")] = "pairs.jsonl"
        cls.leaking = cls.report("leaking/report.html", *leaking, "--out", "leaking")
        run(cls.folder, "extract", "--model", MODEL, "--data", "labelled.jsonl", "--out", "features.safetensors")
        cls.labelled = cls.report("labelled.html", "train", "--features", "features.safetensors", "--folds", "3",
                                  "--seeds", "3", "--out", "head.safetensors", "--report", "labelled.html", "--json")
        cls.all = [cls.pairs, cls.leaking, cls.labelled]

    @classmethod
    def report(cls, path, *arguments):
        return Report(os.path.join(cls.folder, path), json.loads(run(cls.folder, *arguments)))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_everything_is_there(self):
        for report in self.all:
            wanted = SECTIONS + FIGURES + (PAIR_FIGURES if report is not self.labelled else ["fig-length"])
            for name in wanted:
                self.assertIn(name, report.by_id)
            order = [element.get("id") for element in report.root.iter("section")]
            self.assertEqual([name for name in order if name in SECTIONS], SECTIONS)
        self.assertIn("There is none", self.labelled.text("token-head"))

    def test_begins_with_a_verdict(self):
        token = self.pairs.metrics["token_head"]
        verdict = next(element for element in self.pairs.root.iter() if element.get("class", "").startswith("verdict"))
        words = "".join(verdict.itertext())
        right = round(token["accuracy"] * self.pairs.metrics["eval_rows"])
        self.assertRegex(words, "^(It worked|Too few|It did not work)")
        self.assertEqual(words.startswith("It worked"), token["accuracy_ci95"][0] > 0.5)
        self.assertIn(f"puts {right} of {self.pairs.metrics['eval_rows']} held-out pairs right", words)
        # Three replies before and after, and what to type next; the rest is folded away.
        replies = [e for e in self.pairs.by_id["replies"].iter() if e.get("class") == "example"]
        self.assertEqual(len(replies), 3)
        for reply in replies:
            self.assertEqual([e.text for e in reply.iter("dt")], ["as it is", "guided"])
        self.assertIn("coala chat --model", self.pairs.text("next"))
        self.assertIn("coala export --model", self.pairs.text("next"))
        rest = next(e for e in self.pairs.root.iter("details") if e.get("class") == "rest")
        folded = [e.get("id") for e in rest.iter("section")]
        self.assertEqual(folded, [name for name in SECTIONS if name in self.pairs.by_id])
        # A head without a model to write with is judged in words all the same.
        self.assertNotIn("replies", self.labelled.by_id)

    def test_the_scale_is_kept_to_the_budget(self):
        guidance = self.pairs.metrics["guidance"]
        within = [one for one in guidance["tried"] if one["divergence"] <= guidance["budget"]]
        self.assertLessEqual(guidance["divergence"], 1.05 * guidance["budget"])
        self.assertIn(guidance["scale"], [one["scale"] for one in within] or [guidance["scale"]])
        reliability = self.pairs.metrics["token_head"]["reliability"]
        self.assertAlmostEqual(guidance["budget"], 0.1 * guidance["unguided"]["entropy"] * max(0.25, reliability))

    def test_a_judge_may_ask_for_less(self):
        """A program that likes the replies of its first call alone, those without guidance."""
        with open(os.path.join(self.folder, "strict.py"), "w", encoding="utf-8") as file:
            file.write("import json, os, sys\nfirst = not os.path.exists('asked')\nopen('asked', 'w').close()\n"
                       "for line in sys.stdin:\n    print(json.dumps({'score': int(first)}))\n")
        judged = self.report("judged/report.html", "align", "--model", MODEL, "--data", "pairs.jsonl", "--eval-fraction", "0.4",
                             "--json", "--out", "judged", "--judge-command", f"{sys.executable} strict.py",
                             "--wish", "Be brief.")
        guidance = judged.metrics["guidance"]
        self.assertEqual(guidance["unguided"]["judge_mean"], 1)
        self.assertEqual([one["judge_mean"] for one in guidance["tried"]], [0] * 3)
        scales = [one["scale"] for one in guidance["tried"]] + [guidance["scale"]]
        for weaker, stronger in zip(scales[1:], scales):
            self.assertLessEqual(weaker, 0.5 * stronger)
        self.assertIn("The judge gives these replies 0.00 in the mean, 1.00 without guidance.", judged.source)
        # The replies to the wish as a system prompt came after those of the first call.
        self.assertEqual(guidance["asked"]["judge_mean"], 0)
        # All scales are too strong, so the one that is taken was not written at.
        self.assertNotIn("ahead_of_asked", guidance)

    def test_a_wish_is_compared_by_the_judge(self):
        with open(os.path.join(self.folder, "length.py"), "w", encoding="utf-8") as file:
            file.write("import json, sys\nfor line in sys.stdin:\n"
                       "    print(json.dumps({'score': len(json.loads(line)['response'])}))\n")
        wished = self.report("long/report.html", "align", "--model", MODEL, "--data", "pairs.jsonl", "--eval-fraction", "0.4",
                             "--json", "--out", "long", "--judge-command", f"{sys.executable} length.py", "--wish", "Be brief.")
        guidance = wished.metrics["guidance"]
        ahead = guidance["ahead_of_asked"]
        self.assertEqual(ahead["by"], "judge")
        self.assertAlmostEqual(ahead["mean"], guidance["judge_mean"] - guidance["asked"]["judge_mean"])
        self.assertIn(f"the judge gives guided replies {ahead['mean']:+.2f} over those with it", wished.source)

    def test_a_wish_without_a_judge_is_for_the_reward_head(self):
        wished = self.report("wished/report.html", "align", "--model", MODEL, "--data", "pairs.jsonl", "--eval-fraction", "0.4",
                             "--json", "--out", "wished", "--wish", "Be brief.")
        guidance = wished.metrics["guidance"]
        ahead = guidance["ahead_of_asked"]
        self.assertEqual(ahead["by"], "reward head")
        self.assertLess(ahead["ci95"][0], ahead["mean"])
        self.assertLess(ahead["mean"], ahead["ci95"][1])
        self.assertRegex(wished.source, "Your wish as a system prompt (would not do|may do as well|does better than the head)")
        # What is written without the wish is as before.
        self.assertNotIn("asked", self.pairs.metrics["guidance"])

    def test_figures_have_names(self):
        for report in self.all:
            figures = list(report.root.iter("svg"))
            self.assertGreaterEqual(len(figures), len(FIGURES))
            for svg in figures:
                self.assertEqual(svg.get("role"), "img")
                self.assertEqual(svg[0].tag, "title")
                self.assertTrue(svg[0].text)
                self.assertEqual(svg.get("aria-label"), svg[0].text)
                self.assertEqual(report.parents[svg].tag, "figure")
                self.assertIsNotNone(report.parents[svg].find("figcaption"))
            names = [svg[0].text for svg in figures]
            self.assertEqual(len(set(names)), len(names))

    def test_needs_nothing_from_elsewhere(self):
        for report in self.all:
            self.assertNotRegex(report.source, r"(?i)https?:|url\(|@import|\b(src|href)\s*=")
            self.assertEqual([e.tag for e in report.root.iter() if e.tag in ("script", "link", "img", "iframe")], [])
            for name in ("viewport", "prefers-color-scheme: dark", "@media print"):
                self.assertIn(name, report.source)
            self.assertNotRegex(report.source, r"\b(nan|inf)\b")

    def test_drawings_stay_inside(self):
        for report in self.all:
            for svg in report.root.iter("svg"):
                _, _, width, height = map(float, svg.get("viewBox").split())
                for circle in svg.iter("circle"):
                    self.assertTrue(0 <= float(circle.get("cx")) <= width and 0 <= float(circle.get("cy")) <= height)
                for bar in svg.iter("rect"):
                    self.assertLessEqual(float(bar.get("x")) + float(bar.get("width")), width)
                    self.assertLessEqual(float(bar.get("y")) + float(bar.get("height")), height)

    def test_numbers_are_those_of_the_metrics(self):
        def percent(value):
            return f"{100 * value:.1f} %"

        def interval(bounds, factor):
            decimals = 1 if factor == 100 else 2
            return f"{factor * bounds[0]:.{decimals}f} to {factor * bounds[1]:.{decimals}f}"

        for report in self.all:
            metrics = report.metrics
            key = "eval_accuracy" if report is self.labelled else "eval_rewards/accuracies"
            for name in [key, "baseline/logistic_accuracy", "baseline/length_accuracy", "baseline/random_accuracy",
                         "length_controlled_accuracy"]:
                if name not in metrics:
                    self.assertIs(report, self.labelled)
                    continue
                self.assertIn(percent(metrics[name]), report.text("accuracy"))
                self.assertIn(interval(metrics[name + "_ci95"], 100), report.text("accuracy"))
            self.assertIn(f"p = {metrics['comparison/p_value']:.3g}", report.text("accuracy"))
            for name in ("expected_error", "expected_error_scaled"):
                self.assertIn(percent(metrics["calibration/" + name]), report.text("calibration"))
            self.assertIn(f"{metrics['calibration/temperature']:.3f}", report.text("calibration"))
            self.assertIn(f"{metrics['eval_loss']:.4f}", report.text("margins"))
            self.assertIn(f"{metrics['loss']:.4f}", report.text("margins"))
            self.assertIn(f"{metrics['score_length_correlation']:.3f}", report.text("length"))
            self.assertIn(f"{metrics['solver']['relative_gap']:.1e}", report.text("phase1"))
            self.assertIn(f"{metrics['peak_rss_bytes'] / 2**20:.0f} MiB", report.text("cost"))
            for group, subsets in metrics.get("accuracy_by_subset", {}).items():
                for subset in subsets:
                    self.assertIn(f"{subset['subset']} ({subset['rows']} rows)", report.text("subsets"))
                    self.assertIn(percent(subset["accuracy"]), report.text("fig-subsets-" + group))
            for value in metrics["fingerprints"].values():
                self.assertIn(value, report.text("inputs"))
            self.assertEqual(sum(point["chosen"] for point in metrics["solver"]["path"]), 1)
            self.assertIn("chosen", [label.text for label in report.by_id["fig-path"].iter("text")])
        token = self.pairs.metrics["token_head"]
        for program in (token, token["context_free"]):
            self.assertIn(percent(program["accuracy"]), self.pairs.text("token-head"))
            self.assertIn(interval(program["accuracy_ci95"], 100), self.pairs.text("token-head"))
        self.assertIn(f"{token['relative_gap']:.1e}", self.pairs.text("token-head"))
        self.assertIn(f"Rank {token['rank']}.", self.pairs.text("token-head"))
        for metric in ("rewards/margins", "rewards/chosen", "rewards/rejected"):
            for name in (metric, "eval_" + metric):
                self.assertIn(f"{self.pairs.metrics[name]:.4f}", self.pairs.text("margins"))

    def test_the_histogram_counts_every_row(self):
        for report in self.all:
            rows = {"a": 0, "b": 0}
            for bar in report.by_id["fig-margins"].iter("rect"):
                rows[bar.get("class")[-1]] += int(re.search(r": (\d+) rows$", bar[0].text).group(1))
            metrics = report.metrics
            accuracy = metrics.get("eval_rewards/accuracies", metrics.get("eval_accuracy"))
            self.assertEqual(rows["a"] + rows["b"], metrics["eval_rows"])
            self.assertEqual(rows["a"], round(accuracy * metrics["eval_rows"]))

    def test_seeds_have_a_spread(self):
        self.assertNotIn("seeds", self.pairs.metrics)
        self.assertNotIn("seeds", self.pairs.by_id)
        metrics = self.labelled.metrics
        seeds = metrics["seeds"]
        self.assertEqual(seeds["seeds"], [0, 1, 2])
        self.assertEqual(metrics["seed"], 0)
        self.assertEqual(seeds["accuracy"]["values"][0], metrics["eval_accuracy"])
        self.assertEqual(seeds["logistic_accuracy"]["values"][0], metrics["baseline/logistic_accuracy"])
        for key in ("accuracy", "logistic_accuracy", "difference"):
            values = seeds[key]["values"]
            self.assertEqual(len(values), 3)
            self.assertAlmostEqual(seeds[key]["mean"], statistics.mean(values))
            self.assertAlmostEqual(seeds[key]["deviation"], statistics.stdev(values))
            self.assertIn(f"{100 * seeds[key]['mean']:.2f} {100 * seeds[key]['deviation']:.2f}".replace(" ", ""),
                          self.labelled.text("seeds").replace(" ", ""))
        self.assertEqual(len(list(self.labelled.by_id["fig-seeds"].iter("circle"))), 6)
        # Each is the run of its seed, and the head is that of the first.
        for seed in (0, 2):
            single = json.loads(run(self.folder, "train", "--features", "features.safetensors", "--folds", "3", "--out",
                                    f"{seed}.safetensors", "--seed", str(seed), "--json"))
            self.assertEqual(single["eval_accuracy"], seeds["accuracy"]["values"][seed])
        with open(os.path.join(self.folder, "0.safetensors"), "rb") as one:
            with open(os.path.join(self.folder, "head.safetensors"), "rb") as other:
                self.assertEqual(one.read(), other.read())

    def test_phase_two_goes_down(self):
        for report in self.all:
            phase_two = report.metrics["phase2"]
            curve = phase_two["curve"]
            self.assertEqual(curve["loss"][0], phase_two["objective_before"])
            self.assertEqual(curve["loss"][-1], phase_two["objective"])
            self.assertEqual(curve["iteration"][-1], phase_two["iterations"])
            self.assertEqual(len(curve["margin"]), len(curve["loss"]))

    def test_leaks_are_loud(self):
        rows = self.leaking.metrics["eval_rows"]
        self.assertEqual(self.leaking.metrics["leak/shared_prompt_rows"], rows)
        self.assertIn("Prompts of evaluation rows are in the training data", self.leaking.alerts())
        self.assertIn("No evaluation prompt is in the training data", self.leaking.text("checks"))
        for text in (self.leaking.alerts(), self.leaking.text("checks")):
            self.assertIn(f"{rows} of {rows} evaluation rows", text)
        self.assertIn("✗ FAILS", self.leaking.text("checks"))
        self.assertNotIn("prompt is in the training data", self.pairs.alerts())

    def test_examples_are_those_of_the_data(self):
        metrics = self.pairs.metrics
        scored = run(self.folder, "score", "--model", MODEL, "--head", "aligned/head.safetensors", "--data",
                     "pairs.jsonl")
        margins = {line["id"]: line["margin"] for line in map(json.loads, scored.splitlines()) if "margin" in line}
        with open(os.path.join(self.folder, "pairs.jsonl"), encoding="utf-8") as file:
            texts = {str(number): json.loads(line) for number, line in enumerate(file, 1)}
        examples = [element for element in self.pairs.by_id["examples"].iter() if element.get("class") == "example"]
        right = round(metrics["eval_rewards/accuracies"] * metrics["eval_rows"])
        self.assertEqual(len(examples), min(10, right) + min(10, metrics["eval_rows"] - right))
        self.assertGreaterEqual(metrics["eval_rows"] - right, 5)  # else nothing is shown that it gets wrong
        for k, example in enumerate(examples):
            identity, margin = re.fullmatch(r"(\d+): margin ([+-][0-9.]+)", example.find("b").text).groups()
            self.assertAlmostEqual(float(margin), margins[identity], delta=2e-3)
            self.assertEqual(float(margin) > 0, k < min(10, right))
            shown = [element.text for element in example.iter("dd")]
            pair = texts[identity]
            self.assertEqual(shown[0], "user: " + pair["prompt"].replace("\x01", "\ufffd"))
            self.assertEqual(shown[1:], [pair["chosen"], pair["rejected"]])
        self.assertIn("coala align", self.labelled.text("examples"))

    def test_the_command_gives_the_run_again(self):
        for report, name in ((self.pairs, "align"), (self.labelled, "train")):
            command = report.text("reproduce")
            self.assertIn(f"coala {name} --", command)
            for word in ("--data pairs.jsonl", "--eval-fraction 0.4") if name == "align" else ("--folds 3",):
                self.assertIn(word, command)

    def test_fits_its_window(self):
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if browser is None:
            self.skipTest("no Chromium here (looked for " + ", ".join(BROWSERS) + ")")
        # Frames are as narrow as a telephone, which a window cannot be.
        page = os.path.join(self.folder, "frames.html")
        with open(page, "w", encoding="utf-8") as file:
            for path in ("aligned/report.html", "labelled.html"):
                for width in (360, 1200):
                    file.write(f'<iframe src="{path}" width="{width}" height="800" style="border:0"></iframe>\n')
            file.write("<pre id='found'></pre><script>onload = () => { found.textContent = 'widths:' + "
                       "[...document.querySelectorAll('iframe')].map(f => [f.width, f.contentDocument"
                       ".documentElement.scrollWidth, f.contentDocument.querySelectorAll('svg').length].join())"
                       ".join(' ') + ';' }</script>")
        result = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                                 "--allow-file-access-from-files", "--enable-logging=stderr",
                                 "--user-data-dir=" + os.path.join(self.folder, "browser"), "--dump-dom",
                                 "file://" + page],
                                capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual([line for line in result.stderr.splitlines() if "CONSOLE" in line], [])
        found = re.search(r"widths:([^;]*);", result.stdout).group(1).split()
        self.assertEqual(len(found), 4)
        for frame in found:
            width, needed, figures = map(int, frame.split(","))
            self.assertLessEqual(needed, width)
            self.assertGreaterEqual(figures, len(FIGURES))


if __name__ == "__main__":
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
