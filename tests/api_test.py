#!/usr/bin/env python3
"""The public library as others use it: headers that compile by themselves, an installed prefix against which the
examples are built and run, shared libraries that show the API and nothing else.
Usage: api_test.py PROGRAM BUILD_FOLDER SOURCE_FOLDER LLAMA_PREFIX"""

import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest


def run(*command, **options):
    """Runs a command that must succeed; its output."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def headers():
    return sorted(glob.glob(os.path.join(SOURCE, "include/coala/*.h")))


def install(build, prefix):
    run("cmake", "--install", build, "--prefix", prefix, "--component", "library")
    # Whoever compiles against it has nothing of the place where it was built.
    for path in glob.glob(prefix + "/lib/**/*.cmake", recursive=True):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for folder in (SOURCE, BUILD, LLAMA, prefix):
            if folder in text:
                raise AssertionError(f"{path} names {folder}")


def build_beside(name, target, *options):
    """A build beside the main one, so that the compiler's cache knows it; what is compiled has the same flags."""
    folder = f"{BUILD}-{name}"
    run("cmake", "-S", SOURCE, "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_UNITY_BUILD=ON",
        "-DCOALA_TESTS=OFF", *options)
    run("cmake", "--build", folder, "--target", target)
    return folder


def build_example(name, prefix, folder):
    """The program of an example, built against a prefix."""
    build = os.path.join(folder, name)
    run("cmake", "-S", os.path.join(SOURCE, "examples", name), "-B", build, "-DCMAKE_BUILD_TYPE=Release",
        "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Werror", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", build)
    return os.path.join(build, name)


def find_lm(prefix, folder):
    """What find_package says when the language-model part is asked for."""
    os.makedirs(folder)
    with open(os.path.join(folder, "CMakeLists.txt"), "w", encoding="utf-8") as file:
        file.write("cmake_minimum_required(VERSION 3.25)\nproject(p CXX)\nfind_package(coala REQUIRED COMPONENTS lm)\n")
    return subprocess.run(["cmake", "-S", folder, "-B", folder + "/build", f"-DCMAKE_PREFIX_PATH={prefix}"],
                          capture_output=True, text=True)


def exported(library):
    lines = run("nm", "-DC", "--defined-only", library).splitlines()
    return [line.split(" ", 2)[2] for line in lines]


class Headers(unittest.TestCase):
    def test_each_compiles_alone(self):
        for header in headers():
            run("c++", "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I",
                os.path.join(SOURCE, "include"), "-include", header, "-x", "c++", "/dev/null", cwd="/")

    def test_have_types_of_the_standard_library_only(self):
        for header in headers():
            with open(header, encoding="utf-8") as file:
                for name in re.findall(r"#\s*include\s+[<\"]([^>\"]+)", file.read()):
                    self.assertTrue(name.startswith("coala/") or "." not in name and "/" not in name,
                                    f"{header} includes {name}")


class Installed(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="coala api ")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def moved(self, build):
        """An installed prefix that is not where it was installed."""
        install(build, self.path("first place"))
        os.rename(self.path("first place"), self.path("second place"))
        return self.path("second place")

    def check_fit(self, prefix):
        program = build_example("fit", prefix, self.folder)
        said = run(program, self.path("head.safetensors"))
        self.assertRegex(said, r"fit: Solved, relative gap .*, a network")
        # A linear model cannot tell the rows apart, and the true network can.
        self.assertGreater(float(re.search(r"held out: ([\d.]+)", said).group(1)), 0.9)
        done = subprocess.run([program, self.path("no", "folder", "head")], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"^input/output error: .*head")

    def make_pairs(self):
        run(sys.executable, os.path.join(SOURCE, "demo/make_data.py"), self.path("data"))
        return self.path("data", "pairs.jsonl")

    def check_examples(self, prefix):
        """Aligns, scores and writes, all by the examples."""
        model = glob.glob(os.path.join(SOURCE, "demo/model/*.gguf"))[0]
        pairs = self.make_pairs()
        align = build_example("align", prefix, self.folder)
        said = run(align, model, self.path("out"), pairs)
        self.assertRegex(said, r"held-out accuracy: 0\.\d+ \[")
        self.assertRegex(said, r"guided\.gguf: \d+ bytes, [\d.]+ nats")
        head = self.path("out", "head.safetensors")
        with open(self.path("out", "metrics.json"), encoding="utf-8") as file:
            stated = json.load(file)["eval_rewards/accuracies"]
        self.assertAlmostEqual(float(re.search(r"accuracy: ([\d.]+)", said).group(1)), stated, places=3)

        # The same numbers as the program's.
        with open(pairs, encoding="utf-8") as file:
            pair = json.loads(file.readline())
        question = pair["prompt"][0]["content"]
        answers = [pair[which][0]["content"] for which in ("chosen", "rejected")]
        said = run(build_example("score", prefix, self.folder), model, head, question, *answers)
        scores = [float(line.split()[0]) for line in said.splitlines()]
        program = run(PROGRAM, "score", "--quiet", "--model", model, "--head", head,
                      "--prompt", question, "--response", answers[0], "--response", answers[1])
        for score, line in zip(scores, program.splitlines(), strict=True):
            self.assertAlmostEqual(score, json.loads(line)["score"], places=3)

        generate = build_example("generate", prefix, self.folder)
        said = run(generate, model, head, question)
        program = run(PROGRAM, "generate", "--quiet", "--model", model, "--head", head,
                      "--prompt", question, "--max-tokens", "48", "--seed", "7")
        guided = json.loads(program)["text"]
        self.assertIn(f"guided:   {guided}\n", said)
        unguided = re.search(r"as it is: (.*)", said).group(1)
        self.assertNotEqual(unguided, guided)
        self.assertIn(f"at scale 0: {unguided}\nat scale 1: {guided}\n", said)
        ended = re.search(r"ended by who reads it: \"(.*)\"", said).group(1)
        self.assertGreaterEqual(len(ended), 12)
        self.assertLess(len(ended), len(guided))
        self.assertTrue(guided.startswith(ended.strip()))

        done = subprocess.run([generate, model, self.path("nothing"), "Hi"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"^bad input: .*nothing")

    def test_static(self):
        prefix = self.moved(BUILD)
        self.check_fit(prefix)
        self.check_examples(prefix)

    def test_without_a_language_model(self):
        prefix = self.moved(build_beside("api-solver", "coala-solver", "-DCOALA_LM=OFF"))
        self.assertFalse(os.path.exists(prefix + "/include/coala/model.h"))
        self.check_fit(prefix)
        done = find_lm(prefix, self.path("wants lm"))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("has the components solver and not lm", " ".join(done.stderr.split()))

    def test_shared(self):
        prefix = self.moved(build_beside("api-shared", "coala-lm", "-DBUILD_SHARED_LIBS=ON", f"-DCOALA_LLAMA_PREFIX={LLAMA}"))
        libraries = glob.glob(prefix + "/lib/*.so")
        self.assertEqual([os.path.basename(library) for library in libraries], ["libcoala-lm.so"])
        names = exported(libraries[0])
        self.assertIn("coala::v1::Head::load(std::filesystem::__cxx11::path const&)", names)
        declared = set()
        for header in headers():
            with open(header, encoding="utf-8") as file:
                declared |= set(re.findall(r"\w+", file.read()))
        for name in names:
            match = re.match(r"(?:vtable for |typeinfo for |typeinfo name for )?coala::(?:v1::)?(\w+)(?:::~?(\w+))?", name)
            self.assertIsNotNone(match, name)
            for part in match.groups():
                self.assertTrue(part is None or part in declared or part.startswith("operator"), name)
            self.assertNotIn("State::", name)
        self.check_fit(prefix)
        self.check_examples(prefix)


if __name__ == "__main__":
    PROGRAM, BUILD, SOURCE, LLAMA = (os.path.realpath(path) for path in sys.argv[1:5])
    del sys.argv[1:5]
    unittest.main()
