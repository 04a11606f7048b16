#!/usr/bin/env python3
"""How fast are reading and writing beside plain llama.cpp, with the same weights, on this machine? Both programs run in
turn, ROUNDS times; printed are medians, and of the ratios within a round the median with the lowest and highest.
Reading: all states of a text of 256 tokens (llama.cpp: its prompt processing). Writing: 64 tokens after it, greedily, in
one text and in 15 at once. All of it on one thread and on all cores, with nothing else running and beside a program that
takes a core. Usage: speed.py BUILD/bin MODEL.gguf [ROUNDS = 5]"""

import os
import statistics
import subprocess
import sys

READ, WRITTEN, TOGETHER = 256, 64, 15


def figures(program, model, sequences, threads):
    """(read, written) tokens per second."""
    written = WRITTEN if sequences == 1 else WRITTEN // 4
    done = subprocess.run([program, model, str(READ), str(written), str(sequences), str(threads)], check=True,
                          capture_output=True, encoding="utf-8")
    read, written = done.stdout.split()
    return float(read), float(written)


def summary(values):
    return f"{statistics.median(values):6.2f} [{min(values):.2f}, {max(values):.2f}]"


class Neighbour:
    """A program that takes as much of one core as it is given."""

    def __init__(self, wanted):
        self.wanted = wanted

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if self.wanted else None

    def __exit__(self, *_):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def main():
    folder, model = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    cores = len(os.sched_getaffinity(0))
    ours, plain = os.path.join(folder, "bench_session"), os.path.join(folder, "bench_plain_llama")
    cases = [(busy, threads, sequences) for busy in (False, True) for threads in dict.fromkeys((1, max(1, cores - 1), cores))
             for sequences in (1, TOGETHER)]
    found = {case: {program: [] for program in (ours, plain)} for case in cases}
    for _ in range(rounds):
        for case in cases:
            busy, threads, sequences = case
            with Neighbour(busy):
                for program in (ours, plain):
                    found[case][program].append(figures(program, model, sequences, threads))
    print(f"{os.path.basename(model)}, {cores} cores, {rounds} rounds; tokens/s, ratio [lowest, highest]")
    print(f"{'':28}{'coala':>8}{'llama.cpp':>11}   ratio")
    for case in cases:
        busy, threads, sequences = case
        for index, what in enumerate(("read", f"written in {sequences}")):
            if index == 0 and sequences > 1:
                continue
            a, b = ([each[index] for each in found[case][program]] for program in (ours, plain))
            name = f"{what}, {threads} thread{'s' if threads > 1 else ''}{', busy' if busy else ''}"
            print(f"{name:28}{statistics.median(a):8.1f}{statistics.median(b):11.1f}  "
                  f"{summary([x / y for x, y in zip(a, b)])}")

    def gain(a, b, index):
        return summary([x[index] / y[index] for x, y in zip(found[a][ours], found[b][ours])])

    print(f"{TOGETHER} texts at once over one, 1 thread: {gain((False, 1, TOGETHER), (False, 1, 1), 1)}")
    if cores > 1:
        print(f"reading, {cores} threads over 1: {gain((False, cores, 1), (False, 1, 1), 0)}")
        for index, what in enumerate(("reading", "writing")):
            print(f"{what} beside a busy core, {cores} threads over {cores - 1}: "
                  f"{gain((True, cores, 1), (True, cores - 1, 1), index)}")


if __name__ == "__main__":
    main()
