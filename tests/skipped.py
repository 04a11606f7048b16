#!/usr/bin/env python3
"""The tests of the last run of CTest that were skipped, each with its reason: tests/skipped.py BUILD"""

import pathlib
import re
import sys


def reason_in(output):
    """Of a GoogleTest, what follows its remark; of another program, its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line, following in zip(lines, lines[1:] + [""]):
        if line.endswith("Skipped"):
            return following
    return lines[-1] if lines else "no reason is given"


def main():
    log = pathlib.Path(sys.argv[1]) / "Testing" / "Temporary" / "LastTest.log"
    skipped = {}
    for block in re.split(r"^(?=\d+/\d+ Testing: )", log.read_text(errors="replace"), flags=re.MULTILINE):
        if "Test Skipped." not in block and "[  SKIPPED ]" not in block:
            continue
        name = re.search(r'^"([^"]+)" (?:start|end) time', block, re.MULTILINE)
        output = re.search(r"^Output:\n-+\n(.*?)^<end of output>", block, re.MULTILINE | re.DOTALL)
        if name and output:
            skipped.setdefault(reason_in(output.group(1)), []).append(name.group(1))
    if skipped:
        print("Skipped, and why:")
    for reason, names in sorted(skipped.items()):
        print(f"  {', '.join(sorted(names))}\n    {reason}")


main()
