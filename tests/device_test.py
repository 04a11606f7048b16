#!/usr/bin/env python3
"""Devices, from the outside. `choice`: how one is chosen, and what is said of one that is not there, in every build.
`agreement`: the commands on a device, beside the same on the CPU: features, scores of a head that was made on the other
one, greedy texts, what files remember; in a build with devices (exit status 77 otherwise, with the reason).
`fits`: the same of heads that are fitted on one. device_test.cpp compares states and logits, fit_device_test.cpp
weights. Usage: device_test.py choice|agreement|fits BINARY"""

import array
import json
import math
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

import gguf_files as gguf  # noqa: E402
from lora_test import adapter_values, random_factors, read_safetensors, write_pairs  # noqa: E402

TESTS = os.path.dirname(os.path.abspath(__file__))
TINY = os.path.join(TESTS, "files", "tiny-llama.gguf")
DEMO = os.path.join(TESTS, "..", "demo", "model", "tutor-3m-f16.gguf")
BINARY = ""
SKIP = 77


def run(*arguments, folder=None):
    return subprocess.run([BINARY, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False)


def devices():
    return json.loads(run("devices", "--json").stdout)["devices"]


class Choice(unittest.TestCase):
    def refused(self, *arguments):
        """The message of a command that is refused."""
        result = run("generate", "--model", TINY, "--prompt", "the", "--max-tokens", "2", *arguments)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("coala: "), 1, result.stderr)
        self.assertIn("hint: ", result.stderr)
        return result.stderr

    def test_lists_the_cpu_first(self):
        found = devices()
        self.assertEqual(found[0]["name"], "cpu")
        self.assertFalse(found[0]["software"])
        for device in found:
            self.assertGreater(device["total_bytes"], 0)
            self.assertLessEqual(device["free_bytes"], device["total_bytes"])
        lines = run("devices").stdout.splitlines()
        self.assertEqual([line.split()[0] for line in lines], [device["name"] for device in found])
        self.assertRegex(lines[0], r"GB free of \d")

    def test_refuses_what_is_not_there(self):
        message = self.refused("--device", "vulkan:99")
        if len(devices()) == 1 and "this build has no device" in message:
            self.assertIn("make build DEVICE=vulkan", message)
        else:
            self.assertIn("there is no device vulkan:99", message)
        for device in ("cuda:0", "gpu", "", "cpu:0"):
            self.assertRegex(self.refused("--device", device), "is not a device|empty")

    def test_refuses_layers_without_a_device_and_layers_that_are_no_number(self):
        self.assertIn("the model is on the CPU", self.refused("--device", "cpu", "--gpu-layers", 3))
        for layers in ("many", "-1", "2.5", ""):
            self.assertRegex(self.refused("--device", "cpu", "--gpu-layers", layers), "--gpu-layers")

    def test_a_fit_is_refused_as_a_model_is(self):
        with tempfile.TemporaryDirectory(prefix="coala-device-") as folder:
            write_features(os.path.join(folder, "pairs.safetensors"), 60)
            for device in ("vulkan:99", "cuda:0", "gpu", "", "cpu:0"):
                result = run("train", "--features", "pairs.safetensors", "--out", "head.safetensors",
                             "--device", device, "--threads", "1", folder=folder)
                self.assertEqual((result.returncode, result.stdout), (2, ""), result.stderr)
                own = run("generate", "--model", TINY, "--prompt", "the", "--device", device, "--threads", "1")
                self.assertEqual(result.stderr, own.stderr)
                self.assertFalse(os.path.exists(os.path.join(folder, "head.safetensors")))

    def test_a_fit_on_the_cpu_needs_no_naming(self):
        with tempfile.TemporaryDirectory(prefix="coala-device-") as folder:
            write_features(os.path.join(folder, "pairs.safetensors"), 60)
            heads = set()
            for more in ((), ("--device", "cpu")):
                result = run("train", "--features", "pairs.safetensors", "--out", "head.safetensors", *more,
                             folder=folder)
                self.assertEqual(result.returncode, 0, result.stderr)
                with open(os.path.join(folder, "head.safetensors"), "rb") as file:
                    heads.add(file.read())
            if len(devices()) == 1 or devices()[1]["software"]:
                self.assertEqual(len(heads), 1)
            self.assertNotIn(b"solver.device", heads.pop() if len(heads) == 1 else b"")

    def test_the_cpu_needs_no_naming(self):
        said = [run("generate", "--model", TINY, "--prompt", "the", "--max-tokens", "8", "--temperature", 0, "--quiet",
                    *more) for more in ((), ("--device", "cpu"), ("--device", "cpu", "--gpu-layers", 0))]
        self.assertEqual(len({result.stdout for result in said}), 1)
        self.assertEqual([result.returncode for result in said], [0, 0, 0])

    def test_every_command_with_a_model_has_the_options(self):
        reference = run("--help-markdown").stdout
        sections = {section.split("\n", 1)[0]: section for section in reference.split("\n## coala ")[1:]}
        with_model = {name for name, section in sections.items() if "| `--lora` |" in section}
        self.assertGreaterEqual(len(with_model), 8)
        for name in with_model:
            for option in ("--device", "--gpu-layers"):
                self.assertIn(f"| `{option}` |", sections[name], name)


def write_features(path, count, columns=4, seed=1):
    """A feature file of pairs: the response that is further from 0 in the first column is mostly the better one."""
    draw = random.Random(seed)
    sides = {"chosen": array.array("f"), "rejected": array.array("f")}
    for _ in range(count):
        rows = sorted(([draw.gauss(0, 1) for _ in range(columns)] for _ in range(2)),
                      key=lambda row: abs(row[0]) + 0.2 * row[1] + draw.gauss(0, 0.2))
        sides["rejected"].extend(rows[0])
        sides["chosen"].extend(rows[1])
    header, body = {}, b""
    for name, numbers in sides.items():
        data = numbers.tobytes()
        header[name] = {"dtype": "F32", "shape": [count, columns], "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


def relative(found, expected):
    """||found - expected|| / ||expected||"""
    off = math.sqrt(sum((a - b) ** 2 for a, b in zip(found, expected, strict=True)))
    return off / math.sqrt(sum(b * b for b in expected))


def rounding(half, dimension, layers):
    """What device_test.cpp derives."""
    of_block = 2.0 ** -11 * (2 * math.sqrt(4 * dimension / 6) if half else 4)
    return of_block * math.sqrt(layers)


class Agreement(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.device = devices()[1]

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="coala-device-")
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        write_pairs(os.path.join(self.folder, "pairs.jsonl"), 12)

    def coala(self, *arguments, status=0):
        result = run(*arguments, folder=self.folder)
        self.assertEqual(result.returncode, status, result.stderr)
        return result

    def on_device(self, layers="all"):
        return "--device", self.device["name"], "--gpu-layers", layers

    def features(self, out, *arguments, model=DEMO):
        self.coala("extract", "--model", model, "--data", "pairs.jsonl", "--out", out, "--quiet", *arguments)
        return read_safetensors(os.path.join(self.folder, out))

    def scores(self, head, *where):
        """By a head, and whether a warning says that its features are of another device."""
        result = self.coala("score", "--model", DEMO, "--head", head, "--data", "pairs.jsonl", *where)
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        return ([value for row in rows for key, value in sorted(row.items())
                 if key.startswith("score") and isinstance(value, float)],
                "was trained on states of another device" in result.stderr)

    def test_features_and_heads(self):
        metadata, expected = self.features("cpu.safetensors", "--device", "cpu")
        self.assertNotIn("feature.device", metadata)
        for layers in ("all", 3):
            out = f"device-{layers}.safetensors"
            said, found = self.features(out, *self.on_device(layers))
            self.assertRegex(said["feature.device"], r"^vulkan f(16|32), \d of 6 layers, .")
            self.assertIn(self.device["description"], said["feature.device"])
            self.assertNotEqual(said["fingerprint"], metadata["fingerprint"])
            half = said["feature.device"].startswith("vulkan f16")
            largest = max(relative(found[name], expected[name]) for name in ("chosen", "rejected"))
            print(f"  features, {layers} layers: {largest:.1e} off")
            self.assertLessEqual(largest, rounding(half, 192, 5))
            self.assertGreater(largest, 0, "nothing was computed on the device")
            # The same file on another device is not gone on with.
            refused = self.coala("extract", "--model", DEMO, "--data", "pairs.jsonl", "--out", out, "--quiet",
                                 "--device", "cpu", status=2)
            self.assertIn("from something else: device (", refused.stderr)
        for made_on in ("cpu", "device-all"):
            self.coala("train", "--features", f"{made_on}.safetensors", "--out", f"{made_on}-head.safetensors",
                       "--quiet")
        for made_on, says_so in (("cpu", (False, True)), ("device-all", (True, False))):
            head = f"{made_on}-head.safetensors"
            expected, warned = self.scores(head, "--device", "cpu")
            self.assertEqual(warned, says_so[0])
            found, warned = self.scores(head, *self.on_device())
            self.assertEqual(warned, says_so[1])
            self.assertGreater(len(expected), 0)
            print(f"  scores of a head from {made_on}: {relative(found, expected):.1e} off")
            # Scores may be small beside the features' size, of which rounding takes its share.
            self.assertLess(relative(found, expected), 4 * rounding(True, 192, 5))

    def test_a_greedy_text(self):
        texts = {}
        for where, choice in (("cpu", ("--device", "cpu")), ("device", self.on_device())):
            result = self.coala("generate", "--model", DEMO, "--prompt", "Once upon a time there was a little girl",
                                "--max-tokens", 64, "--temperature", 0, *choice)
            texts[where] = json.loads(result.stdout)["text"]
        self.assertIn(f"layers are on {self.device['name']} (", result.stderr)
        self.assertEqual(texts["device"], texts["cpu"])

    def test_a_software_device_is_used_only_when_it_is_named(self):
        if not self.device["software"]:
            self.skipTest("the first device is hardware")
        result = self.coala("generate", "--model", TINY, "--prompt", "the", "--max-tokens", 2)
        self.assertIn("used only when it is named", result.stderr)

    def test_an_adapter(self):
        _, tensors = gguf.read(TINY)
        gguf.write(os.path.join(self.folder, "adapter.gguf"), adapter_values(),
                   random_factors(tensors, ["blk.0.attn_q.weight", "blk.1.ffn_up.weight"], seed=1))
        _, plain = self.features("plain.safetensors", "--device", "cpu", model=TINY)
        _, expected = self.features("cpu.safetensors", "--device", "cpu", "--lora", "adapter.gguf", model=TINY)
        _, found = self.features("device.safetensors", *self.on_device(), "--lora", "adapter.gguf", model=TINY)
        bound = rounding(True, 32, 2)
        self.assertGreater(relative(plain["chosen"], expected["chosen"]), 4 * bound, "the adapter does too little")
        self.assertLessEqual(relative(found["chosen"], expected["chosen"]), bound)


class Fits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.device = devices()[1]

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="coala-device-")
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name

    def coala(self, *arguments, status=0):
        result = run(*arguments, folder=self.folder)
        self.assertEqual(result.returncode, status, result.stderr)
        return result

    def head(self, name):
        return read_safetensors(os.path.join(self.folder, name))

    def test_train(self):
        write_features(os.path.join(self.folder, "pairs.safetensors"), 500)
        write_features(os.path.join(self.folder, "unseen.safetensors"), 2000, seed=2)
        metrics = {}
        for device in ("cpu", self.device["name"]):
            result = self.coala("train", "--features", "pairs.safetensors", "--eval-features", "unseen.safetensors",
                                "--out", f"{device[:3]}.safetensors", "--gates", 3, "--path-length", 6, "--folds", 3,
                                "--report", f"{device[:3]}.html", "--device", device, "--json")
            metrics[device[:3]] = json.loads(result.stdout)
        self.assertIn(f"the gated program is computed on {self.device['name']} (", result.stderr)
        cpu, there = metrics["cpu"], metrics[self.device["name"][:3]]
        said = f"vulkan, {self.device['description']}"
        self.assertEqual(there["solver"]["device"], said)
        self.assertNotIn("device", cpu["solver"])
        self.assertEqual(there["solver"]["selected"], "gated")
        self.assertEqual(there["solver"]["status"], "solved")
        self.assertLessEqual(there["solver"]["relative_gap"], 2e-4)
        # Both objectives lie between the optimum and as much above it as their gaps say; the penalties differ by the
        # rounding of a sum over the rows.
        objectives = [one["solver"]["objective"] for one in (there, cpu)]
        gaps = [one["solver"]["relative_gap"] for one in (there, cpu)]
        self.assertLessEqual(abs(objectives[0] - objectives[1]), (max(gaps) + 1e-4) * objectives[1])
        self.assertAlmostEqual(there["eval_rewards/accuracies"], cpu["eval_rewards/accuracies"], delta=0.005)
        own, of_cpu = self.head(f"{self.device['name'][:3]}.safetensors"), self.head("cpu.safetensors")
        self.assertEqual(own[0]["solver.device"], said)
        self.assertNotIn("solver.device", of_cpu[0])
        self.assertLessEqual(float(own[0]["certificate.relative_gap"]), 2e-4)
        self.assertNotEqual(own[1]["theta1"], of_cpu[1]["theta1"], "nothing was computed on the device")
        with open(os.path.join(self.folder, f"{self.device['name'][:3]}.html"), encoding="utf-8") as file:
            self.assertIn(said, file.read())

    def test_what_has_no_room_is_refused_beforehand(self):
        if self.device["free_bytes"] > 6e9:
            self.skipTest("the device has room for it")
        # The sums of chunks of rows, for each fold.
        write_features(os.path.join(self.folder, "pairs.safetensors"), 2000, columns=400)
        result = self.coala("train", "--features", "pairs.safetensors", "--out", "head.safetensors", "--gates", 4096,
                            "--folds", 100, "--device", self.device["name"], status=2)
        self.assertRegex(result.stderr, r"needs [\d.]+ MB on vulkan:0 \(.*\), where [\d.]+ MB are free")
        self.assertIn("hint: use --device cpu", result.stderr)

    def test_a_software_device_is_used_only_when_it_is_named(self):
        if not self.device["software"]:
            self.skipTest("the first device is hardware")
        write_features(os.path.join(self.folder, "pairs.safetensors"), 60)
        result = self.coala("train", "--features", "pairs.safetensors", "--out", "head.safetensors")
        self.assertIn("used only when it is named", result.stderr)
        self.assertNotIn("solver.device", self.head("head.safetensors")[0])

    def test_align_fits_where_the_model_is(self):
        write_pairs(os.path.join(self.folder, "pairs.jsonl"), 40)
        arguments = ("align", "--model", TINY, "--data", "pairs.jsonl", "--out", "run", "--gates", 2, "--folds", 2,
                     "--path-length", 2, "--token-rank", 0, "--device", self.device["name"])
        self.coala(*arguments)
        with open(os.path.join(self.folder, "run", "metrics.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["solver"]["device"], f"vulkan, {self.device['description']}")
        self.assertIn("solver.device", self.head("run/head.safetensors")[0])
        self.assertIn("nothing has changed", self.coala(*arguments).stderr)


def main():
    global BINARY
    what, BINARY = sys.argv[1], os.path.abspath(sys.argv[2])
    if what != "choice" and len(devices()) < 2:
        print("no device to compute with: make device-test DEVICE=vulkan, on a machine with a driver")
        sys.exit(SKIP)
    cases = {"choice": Choice, "agreement": Agreement, "fits": Fits}
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(cases[what])
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())


main()
