#!/usr/bin/env python3
"""A release archive, unpacked into a folder with a blank in its name: it holds all that it links but the libraries of C and C++, does
the whole job there, and takes no library from the folder where it is started. With an emulator it is run on a CPU that
this machine is not: the oldest of the architecture, on which a newer instruction ends the program.
Usage: package_test.py ARCHIVE [EMULATOR OPTION ...]
       package_test.py out/coala-0.1.0-linux-x86_64.tar.gz qemu-x86_64-static -cpu Nehalem"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FILES = os.path.join(ROOT, "tests", "files")
OF_THE_SYSTEM = r"ld-linux.*|lib(c|m|gcc_s)\.so\.\d|libstdc\+\+\.so\.6"
NEWEST = {"GLIBC": (2, 35), "GLIBCXX": (3, 4, 30)}  # those of Ubuntu 22.04


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="coala package ")
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(cls.folder)
        (name,) = os.listdir(cls.folder)
        cls.home = os.path.join(cls.folder, name)
        cls.program = os.path.join(cls.home, "bin", "coala")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def coala(self, *arguments, status=0, program=None):
        result = subprocess.run([*EMULATOR, program or self.program, *map(str, arguments)], cwd=self.folder,
                                capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, status, result.stderr)
        return result.stdout if status == 0 else result.stderr

    def test_holds_what_it_links(self):
        have = set(os.listdir(os.path.join(self.home, "lib", "coala")))
        for file in [self.program, *(os.path.join(self.home, "lib", "coala", each) for each in have)]:
            printed = subprocess.run(["objdump", "-pT", file], capture_output=True, text=True, check=True).stdout
            for needed in re.findall(r"NEEDED\s+(\S+)", printed):
                self.assertTrue(needed in have or re.fullmatch(OF_THE_SYSTEM, needed), f"{file} needs {needed}")
            for library, version in re.findall(r"\b(GLIBC|GLIBCXX)_([\d.]+)", printed):
                self.assertLessEqual(tuple(map(int, version.split("."))), NEWEST[library], file)
            with open(file, "rb") as content:
                binary = content.read()
            for place in (ROOT.encode(), b".cache/coala", b".work/source"):
                self.assertNotIn(place, binary, f"{file} names a folder of the machine that made it")

    def test_finds_what_it_links(self):
        """Where the dynamic linker finds each, this machine having the same libraries elsewhere."""
        printed = subprocess.run([*EMULATOR, self.program], env={**os.environ, "LD_TRACE_LOADED_OBJECTS": "1"},
                                 capture_output=True, text=True, check=True).stdout
        found = re.findall(r"(\S+) => (.+) \(", printed)
        self.assertGreater(len(found), 8, printed)
        for name, path in found:
            if not re.fullmatch(OF_THE_SYSTEM, name):
                self.assertTrue(os.path.realpath(path).startswith(os.path.realpath(self.home)), f"{name} is {path}")

    def test_has_the_licence_of_each(self):
        licences = os.path.join(self.home, "share", "doc", "coala", "licences")
        self.assertIn("libopenblas0-pthread", os.listdir(licences))
        self.assertTrue(os.path.isfile(os.path.join(self.home, "share", "doc", "coala", "LICENSE.llama.cpp")))

    def test_does_the_whole_job(self):
        model = os.path.join(FILES, "tiny-llama.gguf")
        pairs = [{"prompt": f"Question {i % 12}?", "chosen": f"yes {i}", "rejected": f"no, not at all {i}"}
                 for i in range(48)]
        path = os.path.join(self.folder, "pairs.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(pair) + "\n" for pair in pairs)
        self.coala("align", "--model", model, "--data", "pairs.jsonl", "--out", "aligned", "--threads", 1)
        head = "aligned/head.safetensors"
        said = self.coala("generate", "--model", model, "--head", head, "--prompt", "Question 1?", "--max-tokens", 8,
                          "--guidance", "token", "--threads", 1)
        self.assertTrue(said.strip())
        self.coala("export", "--model", model, "--head", head, "--format", "gguf", "--out", "aligned.gguf")
        self.coala("generate", "--model", "aligned.gguf", "--prompt", "Question 1?", "--max-tokens", 4, "--threads", 1)

    def test_takes_no_library_from_where_it_is_started(self):
        alone = os.path.join(self.folder, "alone", "bin")
        os.makedirs(alone, exist_ok=True)
        os.makedirs(os.path.join(self.folder, "alone", "lib", "coala"), exist_ok=True)
        shutil.copy(self.program, alone)
        for name in os.listdir(os.path.join(self.home, "lib", "coala")):
            folder = os.path.join(self.folder, "alone", "lib", "coala")
            if name.startswith("libggml-cpu-"):
                folder = self.folder  # where the program is started
            shutil.copy(os.path.join(self.home, "lib", "coala", name), folder)
        said = self.coala("generate", "--model", os.path.join(FILES, "tiny-llama.gguf"), "--prompt", "x", status=2,
                          program=os.path.join(alone, "coala"))
        self.assertIn("no code for this CPU", said)


if __name__ == "__main__":
    ARCHIVE = os.path.abspath(sys.argv[1])
    EMULATOR = sys.argv[2:]
    unittest.main(argv=sys.argv[:1])
