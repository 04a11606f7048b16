#!/usr/bin/env python3
"""Kills `coala align` at random moments of every stage and starts it again until it is done: head and features must
have the bytes of an uninterrupted run, the metrics its values apart from times and the work that was done twice, and
nothing may be left behind. Usage: align_kill_test.py BINARY MODEL KILLS PAIRS [SEED]"""

import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

from kill_test import write_pairs

STAGES = ("start", "stage 1 of 3", "stage 2 of 3", "stage 3 of 3")
# What depends on the clock, or on how much of the extraction was done before the kill.
VARYING = {"peak_rss_bytes", "paper_formula", "extract", "extraction", "total"}
SMALL = ("--gates", "3", "--path-length", "6", "--selection-folds", "3", "--token-rank", "8", "--threads", "1")


def steady(value):
    """The metrics without what varies."""
    if isinstance(value, dict):
        return {key: steady(entry) for key, entry in value.items()
                if key not in VARYING and not key.endswith("seconds")}
    return value


def results(out):
    """Every file of a finished run; of the metrics what must not change."""
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(out))] = path.read_bytes()
    found["metrics.json"] = steady(json.loads(found["metrics.json"]))
    found["report.html"] = True  # shows times
    return found


def differences(found, expected, where=""):
    """Where two values differ: names of metrics, or nothing but that they do."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return [place for key in sorted(found.keys() | expected.keys())
                for place in differences(found.get(key), expected.get(key), f"{where}/{key}")]
    return [] if found == expected else [where or "bytes"]


class Run:
    """One start of the program."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.errors = []

    def reach(self, stage):
        """Waits for the line of a stage; False when the program ends without it."""
        if stage == STAGES[0]:
            return True
        for line in self.process.stderr:
            self.errors.append(line)
            if stage in line:
                return True
        return False

    def kill(self):
        self.process.kill()
        self.process.stderr.close()
        self.process.wait()

    def finish(self):
        self.errors += self.process.stderr.readlines()
        if self.process.wait() != 0:
            sys.exit(f"status {self.process.returncode}\n{''.join(self.errors)}")


def stage_lengths(command):
    """Seconds of each stage of an uninterrupted run."""
    run = Run(command)
    times = []
    for stage in STAGES:
        assert run.reach(stage), run.errors
        times.append(time.monotonic())
    run.finish()
    times.append(time.monotonic())
    return {stage: times[k + 1] - times[k] for k, stage in enumerate(STAGES)}


def main():
    binary, model, kills, pairs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    source = random.Random(int(sys.argv[5]) if len(sys.argv) > 5 else 0)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_pairs(folder / "pairs.jsonl", pairs, source)
        write_pairs(folder / "eval.jsonl", max(pairs // 4, 20), source)

        def command(out, kind):
            more = ("--eval-data", folder / "eval.jsonl") if kind == "evaluated" else ()
            return [binary, "align", "--model", model, "--data", folder / "pairs.jsonl", "--out", out, *more, *SMALL]

        # The command is part of the metrics, so all runs write to the same folder.
        out = folder / "out"
        lengths, expected = {}, {}
        for kind in ("split", "evaluated"):
            lengths[kind] = stage_lengths(command(out, kind))
            expected[kind] = results(out)
            shutil.rmtree(out)
        done = dict.fromkeys(STAGES, 0)
        jobs = 0
        while sum(done.values()) < kills:
            kind = ("split", "evaluated")[jobs % 2]
            jobs += 1
            for _ in range(source.randint(1, 4)):
                # Evenly over the stages, the shortest of which is some milliseconds long.
                stage = STAGES[sum(done.values()) % len(STAGES)]
                run = Run(command(out, kind))
                if not run.reach(stage):
                    run.finish()
                    break
                time.sleep(source.uniform(0, 1.1) * lengths[kind][stage])
                if run.process.poll() is None:
                    run.kill()
                    done[stage] += 1
                else:
                    run.finish()
                if sum(done.values()) >= kills:
                    break
            Run(command(out, kind)).finish()
            found = results(out)
            for name in sorted(found.keys() | expected[kind].keys()):
                if found.get(name) != expected[kind].get(name):
                    sys.exit(f"after {sum(done.values())} kills {name} differs from that of an uninterrupted run: "
                             f"{differences(found.get(name), expected[kind].get(name))}")
            left = sorted(path.name for path in folder.iterdir())
            if left != ["eval.jsonl", "out", "pairs.jsonl"]:
                sys.exit(f"left behind: {left}")
            shutil.rmtree(out)
        print(f"{sum(done.values())} kills in {jobs} jobs ("
              + ", ".join(f"{stage}: {count}" for stage, count in done.items()) + "): always resumed, always the same")


if __name__ == "__main__":
    main()
