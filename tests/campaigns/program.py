"""What the campaigns share: a run of the program with its status, time and memory, and the small inputs it works on."""

import collections
import json
import os
import signal
import subprocess
import tempfile
import time

LONGEST_S = 20
SMALL_BYTES = 32 << 20  # what a model of a few hundred kilobytes may take beyond twice its memory


class Run:
    """A run that has ended, or was ended after LONGEST_S."""

    def __init__(self, arguments, folder, limit_s=LONGEST_S, **more):
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            start = time.monotonic()
            process = subprocess.Popen(arguments, cwd=folder, stdin=subprocess.DEVNULL,
                                       **({"stdout": out, "stderr": errors, "start_new_session": True} | more))
            self.hung = False
            while True:
                pid, status, used = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                if time.monotonic() - start > limit_s:
                    self.hung = True
                    os.killpg(process.pid, signal.SIGKILL)
                    pid, status, used = os.wait4(process.pid, 0)
                    break
                time.sleep(0.002)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.status = process.returncode
            self.seconds = time.monotonic() - start
            self.peak_bytes = used.ru_maxrss * 1024  # the largest of the process and those that it waited for
            out.seek(0)
            errors.seek(0)
            self.out = out.read()
            self.message = errors.read().decode(errors="replace")

    def __str__(self):
        return f"status {'hung' if self.hung else self.status}, {self.seconds:.1f} s, " \
               f"{self.peak_bytes >> 20} MB: {self.message[:300]}"


def write_pairs(path, count):
    with open(path, "w", encoding="utf-8") as file:
        for i in range(count):
            print(json.dumps({"prompt": f"question {i}", "chosen": "certainly " + "the hen " * (i % 23 + 1),
                              "rejected": "no " * (i % 7 + 1)}), file=file)


def make_head(binary, model, folder, unbound=False):
    """Extracts folder/pairs.jsonl to f.st and trains h.st; an unbound head does not say which model it is for."""
    def must(*arguments):
        run = Run([binary, *arguments, "--quiet"], folder, limit_s=120)
        assert run.status == 0, run
    must("extract", "--model", model, "--data", "pairs.jsonl", "--out", "f.st", "--token-rank", "8")
    if unbound:
        with open(os.path.join(folder, "f.st"), "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
            values = file.read()
        kept = {name: header[name] for name in header if name in ("chosen", "rejected")}
        bytes_of = {name: values[slice(*kept[name]["data_offsets"])] for name in kept}
        at = 0
        for name, tensor in kept.items():
            tensor["data_offsets"] = [at, at + len(bytes_of[name])]
            at += len(bytes_of[name])
        text = json.dumps(kept).encode()
        with open(os.path.join(folder, "f.st"), "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text + b"".join(bytes_of[name] for name in kept))
    must("train", "--features", "f.st", "--out", "h.st", "--gates", "0", *(["--token-head"] if not unbound else []))


class Bounded:
    """Runs that must end by themselves with status 0 or 2, and take no more than twice the memory of a sound one."""

    def __init__(self, binary, commands, folder):
        self.binary, self.commands, self.folder = binary, commands, folder
        self.outcomes, self.slowest, self.largest, self.failed = collections.Counter(), 0, 0, []
        self.sound = {name: Run([binary, *command], folder) for name, command in commands.items()}
        for name, run in self.sound.items():
            assert run.status == 0, f"{name}: {run}"

    def holds(self, name, what):
        """Runs the command; False, and `what` is listed, when it does not keep to the bounds."""
        run, sound = Run([self.binary, *self.commands[name]], self.folder), self.sound[name]
        self.outcomes[name, run.status] += 1
        self.slowest = max(self.slowest, run.seconds)
        self.largest = max(self.largest, run.peak_bytes / sound.peak_bytes)
        bad = run.hung or run.status not in (0, 2) or run.peak_bytes > 2 * sound.peak_bytes + SMALL_BYTES
        if bad:
            self.failed.append(f"{what}: {name}: {run}")
        return not bad

    def report(self, what):
        """Prints the outcome, and gives the exit status."""
        print(f"{what}: {dict(self.outcomes)}; slowest {self.slowest:.1f} s, at most {self.largest:.2f} times the memory")
        print(*self.failed, sep="\n")
        return 1 if self.failed else 0
