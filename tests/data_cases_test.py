#!/usr/bin/env python3
"""Preference files as people have them, made after public data sets, loaders and bug reports: what `coala prepare` makes
of each. The table was checked by eye against ../shared/cases/README.md, which says where each comes from.
Usage: data_cases_test.py BINARY FOLDER [--write], the folder with the files; --write makes the table anew, to look at"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

BINARY, CASES = sys.argv[1], pathlib.Path(sys.argv[2])
TABLE = pathlib.Path(__file__).parent / "files" / "data_cases.json"


def outcome(path):
    """What a file gives: pairs or labelled responses, why others were left out, and a digest of all that is written;
    or what the message says."""
    with tempfile.TemporaryDirectory() as place:
        out = pathlib.Path(place) / "out.jsonl"
        done = subprocess.run([BINARY, "prepare", "--data", str(path), "--out", str(out), "--json", "--quiet"],
                              capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            message = done.stderr.splitlines()[0].replace(str(path), "FILE")
            return {"status": done.returncode, "says": message[:160]}
        report = json.loads(done.stdout)
        written = out.read_text(encoding="utf-8").split("\n")
        first = json.loads(written[0])
    left_out = {name: count for table in ("left_out", "records_without") for name, count in report[table].items() if count}
    prompt = first.get("prompt") or []
    sides = [name for name in ("prefix", "chosen", "rejected", "response", "label", "margin") if name in first]
    return {"kind": report["kind"], "written": report["written"], "left_out": left_out,
            "first": "".join(message["role"][0] for message in prompt) + " " + " ".join(sides),
            "digest": hashlib.sha256("\n".join(written).encode()).hexdigest()[:16]}


class DataCases(unittest.TestCase):
    maxDiff = None

    def test_every_file_gives_what_is_expected(self):
        table = json.loads(TABLE.read_text())
        files = {path.name for path in CASES.iterdir()}
        self.assertEqual(files - table.keys(), set(), "files that are not in the table")
        python = os.environ.get("COALA_PYTHON", "python3")
        tables = subprocess.run([python, "-c", "import pyarrow"], capture_output=True).returncode == 0
        for name, expected in table.items():
            if name.endswith((".parquet", ".arrow")) and not tables:
                print(f"{name} is left out: there is no pyarrow")
                continue
            with self.subTest(name):
                self.assertEqual(outcome(CASES / name), expected)


if __name__ == "__main__":
    if not CASES.is_dir():
        print(f"skipped: there is no {CASES}")
        sys.exit(77)
    if "--write" in sys.argv:
        TABLE.write_text(json.dumps({path.name: outcome(path) for path in sorted(CASES.iterdir())}, indent=1) + "\n")
        sys.exit(0)
    unittest.main(argv=sys.argv[:1], verbosity=2)
