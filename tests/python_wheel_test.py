#!/usr/bin/env python3
"""The wheel of the Python package: made as `make python` makes it, installed into an empty folder, and there what
docs/python.md shows is run. Usage: python_wheel_test.py PACKAGE_FOLDER MODEL VERSION"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import python_support  # noqa: E402
from python_support import run, tiny_pairs, write_lines  # noqa: E402

PACKAGE, MODEL, VERSION = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
PAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "python.md")
python_support.import_package(PACKAGE)


def pip_wheel(package, out):
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", out, package)
    return glob.glob(os.path.join(out, "*.whl"))


class Wheel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        shutil.copytree(PACKAGE, os.path.join(folder.name, "package"))
        cls.wheels = pip_wheel(os.path.join(folder.name, "package"), os.path.join(folder.name, "out"))
        cls.installed = os.path.join(folder.name, "installed")
        run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", cls.installed,
            *cls.wheels)

    def python(self, code):
        environment = os.environ | {"PYTHONPATH": self.installed}
        return subprocess.run([sys.executable, "-c", code], cwd=self.folder, env=environment, capture_output=True, text=True)

    def test_is_for_this_python_and_machine(self):
        names = [os.path.basename(wheel) for wheel in self.wheels]
        self.assertEqual(len(names), 1, names)
        tag = "cp{}{}".format(*sys.version_info[:2])
        self.assertRegex(names[0], rf"^coala_align-{re.escape(VERSION)}-{tag}-{tag}-linux_\w+\.whl$")
        licences = glob.glob(self.installed + "/coala_align-*.dist-info/**/LICENSE*", recursive=True)
        self.assertEqual({os.path.basename(path) for path in licences}, {"LICENSE", "LICENSE.llama.cpp"})

    def test_shows_nothing_but_the_start_of_the_module(self):
        extension, = glob.glob(self.installed + "/coala_align/_coala*.so")
        names = [line.split()[-1] for line in run("nm", "-D", "--defined-only", extension).splitlines()]
        self.assertEqual(names, ["PyInit__coala"])

    def test_has_one_version(self):
        done = self.python("import coala_align, importlib.metadata as m; print(coala_align.__version__, m.version('coala-align'))")
        self.assertEqual(done.stdout.split(), [VERSION, VERSION], done.stderr)

    def test_does_what_the_page_shows(self):
        shutil.copy(MODEL, os.path.join(self.folder, "model.gguf"))
        write_lines(os.path.join(self.folder, "pairs.jsonl"), tiny_pairs())
        with open(PAGE, encoding="utf-8") as file:
            shown = re.findall(r"^```python\n(.*?)^```", file.read(), re.MULTILINE | re.DOTALL)
        self.assertEqual(len(shown), 2)
        for code in shown:
            done = self.python(code)
            self.assertEqual(done.returncode, 0, code + done.stderr)
            self.assertTrue(done.stdout)
        self.assertTrue(os.path.exists(os.path.join(self.folder, "head.safetensors")))

    def test_has_help(self):
        done = self.python("import coala_align; help(coala_align)")
        for name in ("fit", "Features", "of_pairs", "generate", "guide_every = 5", "Stream", "News"):
            self.assertIn(name, done.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
