#!/usr/bin/env python3
"""What `cmake --install` puts into a folder: a program that runs there, its papers and the questions to practise on.
Usage: install_test.py BUILD_FOLDER"""

import os
import subprocess
import sys
import tempfile
import unittest


class Install(unittest.TestCase):
    def test_runs_where_it_is_put(self):
        with tempfile.TemporaryDirectory(prefix="coala install ") as prefix:
            subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix], check=True, capture_output=True)
            program = os.path.join(prefix, "bin", "coala")
            said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, cwd=prefix).stdout
            self.assertRegex(said, r"^coala \d+\.\d+\.\d+")
            for path in ("share/doc/coala/LICENSE", "share/doc/coala/LICENSE.llama.cpp",
                         "share/doc/coala/THIRD_PARTY.md", "share/coala/questions.jsonl"):
                self.assertTrue(os.path.isfile(os.path.join(prefix, path)), path)
            self.assertEqual(os.listdir(prefix + "/bin"), ["coala"])


if __name__ == "__main__":
    BUILD = sys.argv.pop(1)
    unittest.main()
