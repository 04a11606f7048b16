#!/usr/bin/env python3
"""What the program says while it works, on a terminal and in a log, and when it is stopped.
Usage: console_test.py BINARY MODEL"""

import fcntl
import json
import os
import pathlib
import pty
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

from kill_test import write_pairs

WIDTHS = (0, 40, 80, 100)  # 0: a terminal that does not say how wide it is
USUAL_WIDTH = 80


def on_terminal(command, width):
    """(what the program wrote to a terminal of so many columns on standard error, status)"""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24 if width else 0, width, 0, 0))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    written = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the last writer is gone
            break
        if not piece:
            break
        written += piece
    os.close(master)
    return written.decode(), process.wait()


def screen_lines(written, width):
    """Every state that a line of the screen was in, and whether it ran over the last column."""
    states = []
    for line in written.replace("\r\n", "\n").split("\n"):
        for state in line.split("\r"):
            states.append(re.sub(r"\x1b\[K", "", state))
    return states, [state for state in states if len(state) >= width and state.startswith("coala: [")]


def check_bars(commands):
    for name, command in commands.items():
        for width in WIDTHS:
            written, status = on_terminal(command, width)
            assert status == 0, (name, written)
            states, wrapped = screen_lines(written, width or USUAL_WIDTH)
            bars = [state for state in states if re.match(r"coala: .*(%|so far|in all)", state)]
            assert bars, f"{name} at {width} columns: no progress in\n{written}"
            assert not wrapped, f"{name} at {width} columns: {wrapped[0]!r} does not fit"
            for state in bars:
                assert len(state) < (width or USUAL_WIDTH), f"{name} at {width} columns: {state!r} does not fit"
            # Each bar is drawn over the last one: a line is left for each stage and not for each update.
            finished = [line for line in written.replace("\r\n", "\n").split("\n") if "\r" in line]
            assert all(re.search(r"in all|%|done|\w", line.split("\r")[-1]) for line in finished)


def check_log(name, command, stages):
    """In a log there is a first line after some seconds, and hardly ever another."""
    start = time.monotonic()
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - start
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stderr.splitlines() if re.search(r" %\)|so far|in all", line)]
    assert "\r" not in result.stderr and "\x1b" not in result.stderr, result.stderr
    # A line after 5 s of a stage, and then at least 5 s apart, and one at its end.
    assert len(lines) <= seconds / 5 + stages, f"{name}: {len(lines)} lines in {seconds:.0f} s"
    if seconds > 20 * stages:
        assert lines, f"{name}: {seconds:.0f} s without a word\n{result.stderr}"
    assert not re.search(r"\b0 \w+/s", result.stderr), result.stderr


def check_stopped(name, command, ready, expected):
    """Ctrl-C: one message that is true of this command."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not ready() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    errors = process.communicate()[1]
    assert process.returncode == 130, (name, process.returncode, errors)
    assert "stopped on request" in errors and expected in errors, (name, errors)


def write_features(path, rows, columns, source):
    """Pairs whose training takes some seconds."""
    numbers = [struct.pack(f"{rows * columns}f", *(source.gauss(0, 1) for _ in range(rows * columns)))
               for _ in range(2)]
    size = len(numbers[0])
    header = {name: {"dtype": "F32", "shape": [rows, columns], "data_offsets": [k * size, (k + 1) * size]}
              for k, name in enumerate(("chosen", "rejected"))}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(numbers))


def check_early_refusals(binary, model, folder):
    """What is known before the model has seen a token is said before."""
    few = folder / "few.jsonl"
    prompt = json.dumps
    cases = {
        "too few prompts": [{"prompt": "one", "chosen": "a b", "rejected": "c"}],
        "all 4 labels are +1": [{"prompt": f"{i}", "completion": "a b", "label": True} for i in range(4)],
    }
    for message, records in cases.items():
        few.write_text("".join(prompt(record) + "\n" for record in records), encoding="utf-8")
        evaluation = ["--eval-data", few] if "labels" in message else []
        result = subprocess.run([binary, "align", "--model", model, "--data", few, *evaluation, "--out",
                                 folder / "refused"], capture_output=True, text=True, check=False)
        assert result.returncode == 2 and message in result.stderr, (message, result.stderr)
        assert "stage 1" not in result.stderr and not list((folder / "refused" / "features").glob("*")), message


def check_few_rows(binary, model, folder, pairs):
    """A perfect accuracy of a handful of rows is said to mean nothing."""
    result = subprocess.run([binary, "align", "--model", model, "--data", pairs, "--eval-data", folder / "tiny.jsonl",
                             "--out", folder / "judged", "--token-rank", "4"], capture_output=True, text=True,
                            check=False)
    assert result.returncode == 0, result.stderr
    assert re.search(r"3 held-out prompts, where a coin gets \d+ to \d+ % right: what follows says nothing",
                     result.stdout), result.stdout
    assert "coala chat --model" in result.stdout and "coala export --model" in result.stdout, result.stdout


def main():
    binary, model = map(os.path.abspath, sys.argv[1:3])
    source = random.Random(3)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        pairs, features = folder / "pairs.jsonl", folder / "features.safetensors"
        write_pairs(pairs, 600, source)
        write_pairs(folder / "tiny.jsonl", 3, source)
        write_features(features, 1500, 64, source)
        # Long names as seeds and folds make them; programs of some seconds.
        train = [binary, "train", "--features", features, "--gates", "60", "--folds", "2", "--seeds", "2", "--out",
                 folder / "head", "--threads", "1"]
        extract = [binary, "extract", "--model", model, "--data", pairs, "--token-rank", "8", "--threads", "1", "--out"]
        number = iter(range(1000))
        check_bars({"train": train})
        for width in WIDTHS:
            written, status = on_terminal([*extract, folder / f"out{next(number)}"], width)
            assert status == 0 and not screen_lines(written, width or USUAL_WIDTH)[1], written
        check_log("train", train, stages=40)
        check_few_rows(binary, model, folder, pairs)
        check_early_refusals(binary, model, folder)

        def begun(path):
            return lambda: path.exists() and path.stat().st_size > 1000

        stopped = folder / "stopped"
        check_stopped("extract", [*extract, stopped], begun(pathlib.Path(f"{stopped}.token-states")),
                      "what is evaluated is kept")
        start = time.monotonic()
        check_stopped("train", [*train, "--path-length", "60"], lambda: time.monotonic() > start + 2,
                      "nothing is kept")
    print("bars fit, logs are short, and what is said of a stop is true")


if __name__ == "__main__":
    main()
