#!/usr/bin/env python3
"""Devices, from the outside. `choice`: how one is chosen, and what is said of one that is not there, in every build.
`agreement`: the commands on a device, beside the same on the CPU: features, scores of a head that was made on the other
one, greedy texts, what files remember; in a build with devices (exit status 77 otherwise, with the reason).
device_test.cpp compares states and logits. Usage: device_test.py choice|agreement BINARY"""

import json
import math
import os
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


def main():
    global BINARY
    what, BINARY = sys.argv[1], os.path.abspath(sys.argv[2])
    if what == "agreement" and len(devices()) < 2:
        print("no device to evaluate models on: make device-test DEVICE=vulkan, on a machine with a driver")
        sys.exit(SKIP)
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Agreement if what == "agreement" else Choice)
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())


main()
