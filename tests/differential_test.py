#!/usr/bin/env python3
"""coala's readers against slow and strict ones, written with Python's json alone: both accept or refuse the same seeded
mutations of a tensor file and of a line of preferences, and see the same in what they accept.
Usage: differential_test.py BINARY MUTATIONS [SEED]"""

import json
import os
import random
import re
import subprocess
import sys
import tempfile

BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1}
DEEPEST = 8
TELLING = [b"", b"0", b"9", b"-", b".", b"e", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\x00", b"\xff",
           b"\xc3", b"\xa9", b"\\u00e9", b"\\ud800", b"null", b"true", b"NaN", b"1e9", b"18446744073709551616"]


class Refused(Exception):
    pass


def strict_json(data):
    """The value of a text that is nothing but JSON in UTF-8."""
    def no_constant(name):
        raise Refused(name)

    def no_surrogates(value):
        if isinstance(value, str) and any(0xD800 <= ord(c) < 0xE000 for c in value):
            raise Refused("half a character")
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            no_surrogates(inner)
        for key in value if isinstance(value, dict) else ():
            no_surrogates(key)

    try:
        # "-0" is a number, but not a size: a float keeps it apart.
        value = json.loads(data.decode("utf-8"), parse_constant=no_constant,
                           parse_int=lambda text: float(text) if text.startswith("-") else int(text))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Refused(str(error)) from error
    no_surrogates(value)
    return value


def depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def is_size(value):
    return type(value) is int and 0 <= value < 2 ** 64


def read_safetensors(data):
    """(metadata, {name: [dtype, shape]}) of a file."""
    if len(data) < 8:
        raise Refused("short")
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        raise Refused("header longer than the file")
    header = strict_json(data[8:8 + length])
    if not isinstance(header, dict) or depth(header) > DEEPEST:
        raise Refused("no object")
    metadata, tensors, ranges = {}, {}, []
    for name, entry in header.items():
        if not isinstance(entry, dict):
            raise Refused("an entry is no object")
        if name == "__metadata__":
            if not all(isinstance(value, str) for value in entry.values()):
                raise Refused("metadata are no texts")
            metadata = entry
            continue
        kind, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
        if not isinstance(kind, str) or kind not in BYTES or not isinstance(shape, list) or not all(map(is_size, shape)):
            raise Refused("type or shape")
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(is_size, offsets)):
            raise Refused("offsets")
        size = BYTES[kind]
        for extent in shape:
            size *= extent
        if not offsets[0] <= offsets[1] <= len(data) - 8 - length or offsets[1] - offsets[0] != size:
            raise Refused("bytes")
        tensors[name] = {"dtype": kind, "shape": shape}
        ranges.append(tuple(offsets))
    end = 0
    for first, last in sorted(ranges):
        if first != end:
            raise Refused("a hole")
        end = last
    if end != len(data) - 8 - length:
        raise Refused("rest")
    return metadata, tensors


def moved(header, source):
    """One tensor somewhere else: what overlaps or leaves a hole is well-formed JSON."""
    entries = list(re.finditer(rb'"data_offsets": \[(\d+), (\d+)\]', header))
    entry = source.choice(entries)
    step = source.randint(-8, 3)
    places = ", ".join(str(max(0, int(number) + step)) for number in entry.groups())
    return header[:entry.start()] + f'"data_offsets": [{places}]'.encode() + header[entry.end():]


def mutated(data, source):
    """A few changes anywhere, or one in a text, which leaves most files readable."""
    if source.random() < 0.4:
        at = data.index(b'": "') + source.randint(4, 6)
        return data[:at] + source.choice(TELLING) + data[at:]
    for _ in range(source.randint(1, 3)):
        at = source.randint(0, len(data))
        end = min(len(data), at + source.choice([0, 1, 1, 1, 2, 5]))
        data = data[:at] + source.choice(TELLING) + data[end:]
    return data


class Program:
    def __init__(self, binary, folder):
        self.binary = binary
        self.folder = folder

    def run(self, *arguments):
        """(accepted, standard output); anything but status 0 and 2 ends the test."""
        result = subprocess.run([self.binary, *arguments], cwd=self.folder, capture_output=True, check=False)
        if result.returncode not in (0, 2):
            sys.exit(f"status {result.returncode}: {result.stderr.decode()}")
        return result.returncode == 0, result.stdout

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)


def check_safetensors(program, count, source):
    header = json.dumps({"__metadata__": {"é": "text", "k": "\\"}, "a": {"dtype": "F32", "shape": [2, 1],
                         "data_offsets": [0, 8]}, "b": {"dtype": "U8", "shape": [3], "data_offsets": [8, 11]},
                         "none": {"dtype": "F64", "shape": [0], "data_offsets": [8, 8]}}, ensure_ascii=False).encode()
    accepted = 0
    for k in range(count):
        # Most keep the length of the header true, so that more than the length is read.
        change = source.choice([mutated, mutated, moved])
        changed = change(header, source) if k else header
        length = len(changed) if source.random() < 0.9 else len(header)
        data = length.to_bytes(8, "little") + changed + bytes(source.choice([11, 11, 8]) if k else 11)
        program.write("t.safetensors", data)
        ok, output = program.run("inspect", "--json", "t.safetensors")
        try:
            expected = read_safetensors(data)
        except Refused as refused:
            expected = None
            reason = refused
        if ok != (expected is not None):
            sys.exit(f"mutation {k}: {'accepted' if ok else 'refused'} {data!r}; the strict reader: "
                     f"{reason if expected is None else 'accepts it'}")
        if ok:
            accepted += 1
            found = json.loads(output)
            if (found["metadata"] or {}, found.get("tensors") or {}) != expected:
                sys.exit(f"mutation {k}: {found} of {data!r}")
    return accepted


def check_lines(program, count, source):
    line = json.dumps({"prompt": "What is é?", "chosen": "A \\ \" letter.", "rejected": "No\tidea.", "extra": [1, {}]},
                      ensure_ascii=False).encode()
    accepted = 0
    for k in range(count):
        data = mutated(line, source) if k else line
        program.write("d.jsonl", data + b"\n")
        ok, _ = program.run("prepare", "--quiet", "--data", "d.jsonl", "--out", "p.jsonl", "--shape", "trl-explicit")
        try:
            row = strict_json(data)
        except Refused as refused:
            if ok:
                sys.exit(f"mutation {k}: accepted {data!r}; the strict reader: {refused}")
            continue
        texts = [row.get(key) for key in ("prompt", "chosen", "rejected")] if isinstance(row, dict) else [None]
        plain = all(isinstance(text, str) and text.strip() for text in texts) and texts[1] != texts[2]
        if plain and not ok:
            sys.exit(f"mutation {k}: refused {data!r}")
        if not ok:
            continue
        accepted += 1
        with open(program.path("p.jsonl"), encoding="utf-8") as file:
            written = [json.loads(record) for record in file]
        found = [[record["prompt"][0]["content"], record["chosen"], record["rejected"]] for record in written]
        if plain and found != [texts]:
            sys.exit(f"mutation {k}: {written} of {data!r}")
    return accepted


def main():
    binary, count = os.path.abspath(sys.argv[1]), int(sys.argv[2])
    source = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    with tempfile.TemporaryDirectory() as folder:
        program = Program(binary, folder)
        for name, check in (("tensor files", check_safetensors), ("lines", check_lines)):
            accepted = check(program, count, source)
            print(f"{name}: {count} mutations, {accepted} accepted by both")
            if not 0.02 * count < accepted < 0.9 * count:
                sys.exit("too few or too many are accepted for this to say much")


main()
