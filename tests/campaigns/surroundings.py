#!/usr/bin/env python3
"""Commands in random surroundings: descriptors closed, disks full, targets that are devices, pipes, sockets, folders or
links, outputs that are inputs by any of their names. Nothing that was there is lost, unless it is the output of a run
that says it went well; nothing but results is in a result. Needs a mount namespace of its own (root, or user
namespaces) for the disks and for /dev.
Usage: surroundings.py BINARY MODEL COUNT [SEED]"""

import collections
import gzip
import hashlib
import json
import os
import random
import shutil
import socket
import stat
import subprocess
import sys
import tempfile

from program import Run, make_head, write_pairs

BINARY, MODEL = map(os.path.abspath, sys.argv[1:3])
COUNT = int(sys.argv[3])
SEED = int(sys.argv[4]) if len(sys.argv) > 4 else 1
INSIDE = "COALA_CAMPAIGN_DISKS"  # in the namespace: the folder for the disks
FULL, FIXED = (os.path.join(os.environ.get(INSIDE, ""), name) for name in ("full", "fixed"))
SKIPPED = 77

INPUTS = ["pairs.jsonl", "prompts.jsonl", "f.st", "h.st", "m.gguf"]
COMMANDS = {
    "prepare": ["prepare", "--data", "pairs.jsonl"],
    "prepare, packed": ["prepare", "--data", "pairs.jsonl"],
    "extract": ["extract", "--model", "m.gguf", "--data", "pairs.jsonl"],
    "train": ["train", "--features", "f.st", "--gates", "0"],
    "align": ["align", "--model", "m.gguf", "--data", "pairs.jsonl", "--gates", "0"],
    "generate": ["generate", "--model", "m.gguf", "--data", "prompts.jsonl", "--max-tokens", "3"],
    "export": ["export", "--model", "m.gguf", "--head", "h.st", "--format", "gguf"],
    "export, adapter": ["export", "--model", "m.gguf", "--head", "h.st", "--format", "lora"],
}


def state_of(path):
    """What a name holds: its kind, and its content where it has one."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    if stat.S_ISLNK(status.st_mode):
        return "link", os.readlink(path)
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            return "file", hashlib.sha256(file.read()).hexdigest()
    return "other", stat.S_IFMT(status.st_mode), status.st_rdev


def states_in(folder):
    found = {}
    for place, folders, names in os.walk(folder):
        for name in folders + names:
            path = os.path.join(place, name)
            found[path] = state_of(path)
    return found


def is_result(command, path):
    """Whether a file is a whole result of the command."""
    with open(path, "rb") as file:
        data = file.read()
    if command.startswith("prepare") or command == "generate":
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return all(isinstance(json.loads(line), dict) for line in data.splitlines()) and data.endswith(b"\n")
    if command.startswith("export"):
        return data[:4] == b"GGUF"
    length = int.from_bytes(data[:8], "little")
    tensors = {name: entry for name, entry in json.loads(data[8:8 + length]).items() if name != "__metadata__"}
    return len(data) == 8 + length + max(entry["data_offsets"][1] for entry in tensors.values())


def target(chance, folder, command):
    """A name for the output, and what it is called in a report."""
    kind = chance.choice(["new", "new", "old result", "notes", "folder", "fifo", "socket", "null", "full", "zero", "tty",
                          "link to new", "link to notes", "link round", "link to null", "hard link of an input", "input",
                          "input by dots", "link to an input", "no folder", "full disk", "full disk", "read-only disk",
                          "long name", "odd name", "empty", "standard output", "own descriptor"])
    path = os.path.join(folder, "target")
    victim = os.path.join(folder, chance.choice([name for name in INPUTS if name in COMMANDS[command]]))
    if kind in ("old result", "notes"):
        with open(path, "w", encoding="utf-8") as file:
            file.write("notes of somebody\n")
    elif kind == "folder":
        os.mkdir(path)
        with open(os.path.join(path, "notes"), "w", encoding="utf-8") as file:
            file.write("notes of somebody\n")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as there:
            there.bind(path)
    elif kind.startswith("link"):
        os.symlink({"link to new": "elsewhere", "link to notes": "notes", "link round": "target",
                    "link to null": "/dev/null", "link to an input": victim}[kind], path)
        if kind == "link to notes":
            with open(os.path.join(folder, "notes"), "w", encoding="utf-8") as file:
                file.write("notes of somebody\n")
    elif kind == "hard link of an input":
        os.link(victim, path)
    path = {"null": "/dev/null", "full": "/dev/full", "zero": "/dev/zero", "tty": "/dev/tty", "input": victim,
            "input by dots": os.path.join(folder, "..", os.path.basename(folder), os.path.basename(victim)),
            "no folder": os.path.join(folder, "nowhere", "target"), "full disk": os.path.join(FULL, "target"),
            "read-only disk": os.path.join(FIXED, "target"), "long name": os.path.join(folder, "x" * 250),
            "odd name": os.path.join(folder, "a\nb\x1b[31m\u202ec"), "empty": "", "standard output": "/dev/stdout",
            "own descriptor": "/proc/self/fd/1"}.get(kind, path)
    if command == "prepare, packed" and kind == "new":
        path += ".gz"
    return kind, path


def mount_disks():
    for place, options in ((FULL, "size=64k"), (FIXED, "ro")):
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)


def one(chance, ready, folder, failed, outcomes):
    for name in INPUTS:
        shutil.copy(os.path.join(ready, name), folder)
    command = chance.choice(list(COMMANDS))
    kind, path = target(chance, folder, command)
    for name in os.listdir(FULL):
        whole = os.path.join(FULL, name)
        shutil.rmtree(whole) if os.path.isdir(whole) else os.remove(whole)
    closed = [number for number in (0, 1, 2) if chance.random() < 0.2]
    more = {}
    if closed:
        more["preexec_fn"] = lambda: [os.close(number) for number in closed]
    if chance.random() < 0.15:
        more["stdout"] = open("/dev/full", "wb")
    if chance.random() < 0.15:
        more["stderr"] = open("/dev/full", "wb")
    before = states_in(folder) | {name: state_of(name) for name in DEVICES}
    limit_s = 5 if kind == "fifo" else 20  # nobody reads it: the command waits until it is stopped
    run = Run([BINARY, *COMMANDS[command], "--out", path], folder, limit_s=limit_s, **more)
    what = f"{command} to {kind}, {closed} closed{', full output' if 'stdout' in more else ''}: {run}"
    outcomes[kind, "hung" if run.hung else run.status] += 1
    if (run.hung and kind != "fifo") or (not run.hung and run.status not in (0, 1, 2)):
        failed.append(what)
    after = states_in(folder) | {name: state_of(name) for name in DEVICES}
    replaced = os.path.realpath(path) if path and kind not in ("standard output", "own descriptor") else None
    for name, state in before.items():
        if after.get(name) == state:
            continue
        written = name == replaced or (command == "align" and name.startswith(str(replaced) + "/"))
        # A run may fail when all is written, where it can no longer say so.
        finished = run.status == 0 or (run.status == 1 and os.path.isfile(name) and is_result(command, name))
        if not (written and finished and name not in [os.path.join(folder, one) for one in INPUTS]):
            failed.append(f"lost {name!r}: {what}")
    if run.status == 0 and replaced and os.path.isfile(replaced) and command != "align" \
            and not is_result(command, replaced):
        failed.append(f"no result in {replaced!r}: {what}")
    for name in after:
        if "coala-tmp" in name and not run.hung:
            failed.append(f"left behind {name!r}: {what}")


DEVICES = ["/dev/null", "/dev/full", "/dev/zero", "/dev/tty", "/dev/stdout"]


def main():
    if INSIDE not in os.environ:
        inside = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
        if subprocess.run([*inside, "true"], capture_output=True).returncode != 0:
            print("skipped: no mount namespace of our own can be had here")
            return SKIPPED
        with tempfile.TemporaryDirectory() as disks:
            for name in ("full", "fixed"):
                os.mkdir(os.path.join(disks, name))
            return subprocess.run([*inside, sys.executable, *sys.argv], env=os.environ | {INSIDE: disks}).returncode
    try:
        mount_disks()
    except subprocess.CalledProcessError:
        print("skipped: nothing can be mounted here")
        return SKIPPED
    chance = random.Random(SEED)
    outcomes, failed = collections.Counter(), []
    with tempfile.TemporaryDirectory() as ready:
        write_pairs(os.path.join(ready, "pairs.jsonl"), 40)
        with open(os.path.join(ready, "prompts.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"prompt": f"question {i}"}) + "\n" for i in range(3))
        shutil.copy(MODEL, os.path.join(ready, "m.gguf"))
        make_head(BINARY, "m.gguf", ready)
        for _ in range(COUNT):
            with tempfile.TemporaryDirectory() as folder:
                one(chance, ready, folder, failed, outcomes)
    print(f"{COUNT} runs: {dict(sorted(outcomes.items(), key=str))}")
    print(*failed, sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
