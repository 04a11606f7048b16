#!/usr/bin/env python3
"""The tests that CTest skipped, each with its reason: tests/skipped.py RESULTS.xml, which `ctest --output-junit` wrote"""

import sys
import xml.etree.ElementTree


def reason_in(output):
    """Of a GoogleTest, what follows its remark; of another program, its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line, following in zip(lines, lines[1:] + [""]):
        if line.endswith("Skipped"):
            return following
    return lines[-1] if lines else "no reason is given"


def main():
    skipped = {}
    for test in xml.etree.ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
        if test.find("skipped") is not None:
            skipped.setdefault(reason_in(test.findtext("system-out") or ""), []).append(test.get("name"))
    if skipped:
        print("Skipped, and why:")
    for reason, names in sorted(skipped.items()):
        print(f"  {', '.join(sorted(names))}\n    {reason}")


main()
