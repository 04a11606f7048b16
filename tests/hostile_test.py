#!/usr/bin/env python3
"""No command destroys, no model, template or grammar kills, no message lies: hostile inputs and surroundings, as
../shared/cases/hostile.md lists them, and others of their kinds. Every run must end soon, by itself, with one message
and status 2 (or 0 where nothing is wrong).
Usage: hostile_test.py BINARY MODEL [FOLDER of hostile cases]"""

import gzip
import json
import os
import pathlib
import re
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest

BINARY, MODEL = (os.path.abspath(path) for path in sys.argv[1:3])
CASES = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None
LONGEST_S = 20
ENDED_BY_SIGNAL = 128


def run(*arguments, folder=".", shell=None, **more):
    """Status and standard error of a run of the program, or of a line of the shell in which $C is the program."""
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    if shell is not None:
        done = subprocess.run(["bash", "-c", shell], cwd=folder, timeout=LONGEST_S, stdin=subprocess.DEVNULL,
                              env=os.environ | {"C": BINARY}, **more)
    else:
        done = subprocess.run([BINARY, *map(str, arguments)], cwd=folder, timeout=LONGEST_S, stdin=subprocess.DEVNULL,
                              **more)
    return done.returncode, (done.stderr or b"").decode(errors="replace"), done.stdout or b""


def pairs(path, count=40):
    with open(path, "w", encoding="utf-8") as file:
        for i in range(count):
            print(json.dumps({"prompt": f"question {i}", "chosen": f"certainly {i}", "rejected": "no"}), file=file)


def running(command):
    """Processes with this command line, its words ended by zeros."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == command.encode():
                found.append(path.parent.name)
        except OSError:
            pass  # it is over
    return found


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.place.name)
        os.environ["COALA_CACHE"] = str(cls.root / "cache")  # no verdict from elsewhere
        cls.ready = cls.root / "ready"
        cls.ready.mkdir()
        pairs(cls.ready / "pairs.jsonl")
        for step in (["extract", "--model", MODEL, "--data", "pairs.jsonl", "--out", "f.st"],
                     ["train", "--features", "f.st", "--out", "h.st", "--gates", "0"]):
            status, message, _ = run(*step, folder=cls.ready)
            assert status == 0, message

    @classmethod
    def tearDownClass(cls):
        cls.place.cleanup()

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=self.root))
        for name in ("pairs.jsonl", "f.st", "h.st"):
            (self.folder / name).write_bytes((self.ready / name).read_bytes())
        (self.folder / "m.gguf").write_bytes(pathlib.Path(MODEL).read_bytes())
        (self.folder / "q.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')

    def refused(self, *arguments, **more):
        """The message of a run that ends with status 2."""
        status, message, _ = run(*arguments, folder=self.folder, **more)
        self.assertEqual(status, 2, message)
        self.assertIn("coala: ", message)
        self.assertIsNone(re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", message), repr(message))
        return message

    # Outputs

    def test_devices_and_pipes_are_written_through(self):
        status, message, _ = run("prepare", "--data", "pairs.jsonl", "--out", "/dev/null", folder=self.folder)
        self.assertEqual(status, 0, message)
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))
        os.mkfifo(self.folder / "pipe")
        status, message, out = run(shell='$C prepare --data pairs.jsonl --out pipe >/dev/null & cat pipe; wait $!',
                                   folder=self.folder)
        self.assertEqual((status, out.count(b"\n")), (0, 40), message)
        self.assertTrue(stat.S_ISFIFO(os.stat(self.folder / "pipe").st_mode))
        before = set(os.listdir("/dev"))
        for command in ("generate --model m.gguf --data q.jsonl --max-tokens 2", "train --features f.st --gates 0"):
            status, message, _ = run(shell=f"$C {command} --out /dev/null", folder=self.folder)
            self.assertEqual(status, 0, message)
        self.assertIn("no file", self.refused("export", "--model", "m.gguf", "--head", "h.st", "--out", "/dev/null"))
        self.assertEqual(before, set(os.listdir("/dev")))
        status, message, out = run(shell="$C generate --model m.gguf --data q.jsonl --max-tokens 2 --out pipe & cat pipe; "
                                   "wait $!", folder=self.folder)
        self.assertEqual((status, out.count(b"\n")), (0, 2), message)
        status, message, out = run(shell="$C prepare --data pairs.jsonl --out /dev/stdout", folder=self.folder)
        self.assertEqual(status, 0, message)
        self.assertEqual(sum(line.startswith(b'{"id"') for line in out.splitlines()), 40)

    def test_a_terminal_that_is_not_there_is_said(self):
        status, message, _ = run("prepare", "--data", "pairs.jsonl", "--out", "/dev/tty", folder=self.folder,
                                 start_new_session=True)
        self.assertEqual(status, 1, message)
        self.assertIn("cannot open /dev/tty", message)

    def test_links_are_followed(self):
        os.symlink("there.jsonl", self.folder / "link")
        status, message, _ = run("prepare", "--data", "pairs.jsonl", "--out", "link", folder=self.folder)
        self.assertEqual(status, 0, message)
        self.assertTrue((self.folder / "link").is_symlink())
        self.assertFalse((self.folder / "there.jsonl").is_symlink())
        self.assertEqual(len((self.folder / "there.jsonl").read_text().splitlines()), 40)
        os.symlink("round", self.folder / "round")
        self.refused("prepare", "--data", "pairs.jsonl", "--out", "round")
        self.refused("prepare", "--data", "round", "--out", "x")

    def test_permissions_of_what_is_replaced_stay(self):
        target = self.folder / "mine.jsonl"
        target.write_text("")
        target.chmod(0o600)
        run("prepare", "--data", "pairs.jsonl", "--out", "mine.jsonl", folder=self.folder)
        self.assertEqual(stat.S_IMODE(target.stat().st_mode), 0o600)

    def test_no_output_is_an_input_or_another_output(self):
        model = ["--model", "m.gguf"]
        commands = [
            ["generate", *model, "--prompt", "a", "--out", "m.gguf"],
            ["generate", *model, "--data", "q.jsonl", "--out", "q.jsonl"],
            ["generate", *model, "--data", "q.jsonl", "--out", "./x/../q.jsonl"],
            ["generate", *model, "--head", "h.st", "--prompt", "a", "--out", "h.st"],
            ["train", "--features", "f.st", "--out", "f.st"],
            ["train", "--features", "f.st", "--eval-features", "h.st", "--out", "h.st"],
            ["train", "--features", "f.st", "--out", "x.st", "--report", "f.st"],
            ["train", "--features", "f.st", "--out", "x.st", "--report", "x.st"],
            ["export", *model, "--head", "h.st", "--out", "m.gguf"],
            ["export", *model, "--head", "h.st", "--out", "h.st"],
            ["export", *model, "--head", "h.st", "--format", "gguf", "--out", "m.gguf"],
            ["prepare", "--data", "pairs.jsonl", "--out", "z", "--eval-out", "pairs.jsonl"],
            ["prepare", "--data", "pairs.jsonl", "--out", "pairs.jsonl"],
            ["prepare", "--data", "pairs.jsonl", "--out", "z", "--eval-out", "z"],
            ["extract", *model, "--data", "pairs.jsonl", "--out", "m.gguf"],
            ["extract", *model, "--data", "pairs.jsonl", "--out", "pairs.jsonl"],
            ["eval", "--generate", *model, "--data", "q.jsonl", "--head", "h.st", "--judge-command", "cat", "--figure",
             "m.gguf"],
            ["generate", *model, "--prompt", "a", "--grammar-file", "q.jsonl", "--out", "q.jsonl"],
        ]
        os.symlink("pairs.jsonl", self.folder / "other-name")
        commands.append(["prepare", "--data", "pairs.jsonl", "--out", "other-name"])
        os.mkdir(self.folder / "o")
        os.rename(self.folder / "q.jsonl", self.folder / "o" / "metrics.json")
        commands.append(["align", *model, "--data", "o/metrics.json", "--out", "o"])
        (self.folder / "q.jsonl").write_text('{"prompt": "a"}\n')
        before = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        for command in commands:
            with self.subTest(command=command):
                self.assertIn("bad usage", self.refused(*command))
                after = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
                self.assertEqual(before, after)

    def test_empty_paths_are_bad_usage(self):
        model = ["--model", "m.gguf", "--prompt", "a", "--max-tokens", "1"]
        for command in (["generate", *model, "--head", ""], ["generate", *model, "--lora", ""],
                        ["generate", *model, "--grammar-file", ""], ["generate", *model, "--out", ""],
                        ["generate", *model, "--template", ""], ["generate", "--model", "", "--prompt", "a"],
                        ["align", "--model", "m.gguf", "--data", "pairs.jsonl", "--out", ""],
                        ["extract", "--model", "m.gguf", "--data", "pairs.jsonl", "--out", ""],
                        ["prepare", "--data", "pairs.jsonl", "--out", ""], ["prepare", "--data", "", "--out", "x"],
                        ["train", "--features", "f.st", "--out", "x", "--report", ""], ["inspect", ""],
                        ["export", "--model", "m.gguf", "--head", "h.st", "--out", ""]):
            with self.subTest(command=command):
                self.assertIn("is empty", self.refused(*command))

    def test_every_option_for_a_file_is_marked(self):
        """So that no new one can get past the checks."""
        _, _, reference = run("--help-markdown")
        for line in reference.decode().splitlines():
            cells = [cell.strip() for cell in line.split("|")]
            if len(cells) < 5 or not cells[1].startswith("`-"):
                continue
            speaks_of_files = re.search(r"\b(file|folder|safetensors|gguf|jsonl?|svg|html)\b", cells[4].lower())
            says_so = cells[2] in ("file to read", "file to write")
            named = {"--max-file-size", "--format", "--json", "--judge-command", "--allow-unbound", "--shape", "--skip-bad",
                     "--eval-fraction", "--lora-scale", "--folds", "--shard"}
            name = cells[1].strip("`")
            if speaks_of_files and name not in named and cells[2] == "text":
                self.fail(f"{name} takes a file, it seems, and is not marked: {line}")
            if name in ("--out", "--eval-out", "--report", "--figure"):
                self.assertTrue(says_so and cells[2] == "file to write", line)

    def test_files_of_others_are_not_touched(self):
        own = {"p.jsonl.tmp.backup": "notes", "p.jsonl.tmp.12": "notes", "p.jsonl.coala-tmp-x": "notes"}
        for name, text in own.items():
            (self.folder / name).write_text(text)
        os.mkfifo(self.folder / "p.jsonl.coala-tmp-7")
        victim = self.folder / "victim"
        victim.write_text("precious")
        for number in range(os.getpid(), os.getpid() + 400):
            os.symlink("victim", self.folder / f"p.jsonl.coala-tmp-{number}000")
        leftover = self.folder / "p.jsonl.coala-tmp-1234000"
        leftover.unlink(missing_ok=True)
        leftover.write_text("half")
        status, message, _ = run("prepare", "--data", "pairs.jsonl", "--out", "p.jsonl", folder=self.folder)
        self.assertEqual(status, 0, message)
        for name, text in own.items():
            self.assertEqual((self.folder / name).read_text(), text)
        self.assertEqual(victim.read_text(), "precious")
        self.assertFalse((self.folder / "p.jsonl").is_symlink())
        self.assertFalse(leftover.exists(), "a leftover of ours goes")

    def test_what_lies_beside_an_output_is_not_followed(self):
        victim = self.folder / "victim"
        victim.write_text("")
        extract = ["extract", "--model", "m.gguf", "--data", "pairs.jsonl", "--out", "x.st"]
        generate = ["generate", "--model", "m.gguf", "--data", "q.jsonl", "--max-tokens", "2", "--out", "r"]
        for name, command in (("x.st.lock", extract), ("x.st.parts", extract), ("r.partial", generate)):
            os.symlink("victim", self.folder / name)
            status, message, _ = run(*command, folder=self.folder)
            self.assertIn(status, (1, 2), message)
            self.assertEqual(victim.read_text(), "")
            os.unlink(self.folder / name)
        os.mkdir(self.folder / "x.st.parts")
        (self.folder / "x.st.parts" / "notes").write_text("mine")
        status, message, _ = run(*extract, folder=self.folder)
        self.assertEqual(status, 0, message)
        self.assertEqual(os.listdir(self.folder / "x.st.parts"), ["notes"])
        (self.folder / "y.st.lock").write_text("mine")
        self.refused(*extract[:-1], "y.st")
        self.assertEqual((self.folder / "y.st.lock").read_text(), "mine")

    # Streams

    def test_closed_descriptors(self):
        for closed in ("0<&-", "1>&-", "2>&-", "0<&- 1>&-", "0<&- 2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"):
            for command, result in (("generate --model m.gguf --data q.jsonl --max-tokens 3 --trace --out r", "r"),
                                    ("prepare --data pairs.jsonl --out r", "r"),
                                    ("train --features f.st --gates 0 --out r", "r")):
                with self.subTest(closed=closed, command=command):
                    (self.folder / "r").unlink(missing_ok=True)
                    run(shell=f"exec {closed}; exec $C {command}", folder=self.folder)
                    content = (self.folder / result).read_bytes()
                    self.assertNotIn(b"coala:", content)
                    if not command.startswith("train"):
                        for line in content.decode().splitlines():
                            json.loads(line)

    def test_messages_that_cannot_be_written(self):
        for command in ("generate --model m.gguf --data q.jsonl --max-tokens 3 --out r", "prepare --data pairs.jsonl --out r",
                        "train --features f.st --gates 0 --out r"):
            status, _, _ = run(shell=f"exec $C {command} 2>/dev/full", folder=self.folder)
            self.assertEqual(status, 0, command)
            status, _, _ = run(shell=f"$C {command} 2> >(exec 0<&-; sleep 0); exit $?", folder=self.folder)
            self.assertEqual(status, 0, command)
        status, _, _ = run(shell="exec $C generate --model nope.gguf --prompt a 2>/dev/full", folder=self.folder)
        self.assertEqual(status, 2)

    def test_a_stop_ends_what_waits(self):
        os.mkfifo(self.folder / "pipe")
        commands = {
            "a pipe that nobody writes": ["prepare", "--data", "pipe", "--out", "x"],
            "a pipe that nobody reads": ["prepare", "--data", "pairs.jsonl", "--out", "pipe"],
            "a judge that hangs": ["eval", "--generate", "--model", "m.gguf", "--head", "h.st", "--allow-unbound", "--data",
                                   "q.jsonl", "--guidance", "best-of-n", "--num-candidates", "2", "--max-tokens", "3",
                                   "--judge-command", "sleep 1000"],
            "much work": ["train", "--features", "f.st", "--model-class", "cronos", "--cronos-gates", "4096", "--out", "x"],
        }
        for name, command in commands.items():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                with self.subTest(name=name, signal=number):
                    process = subprocess.Popen([BINARY, *command], cwd=self.folder, stdin=subprocess.DEVNULL,
                                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                               env=os.environ | {"TMPDIR": str(self.folder)})
                    time.sleep(1.5)  # it has begun, on a busy machine too
                    self.assertIsNone(process.poll(), process.stderr.read() if process.poll() is not None else "")
                    begin = time.monotonic()
                    process.send_signal(number)
                    process.wait(LONGEST_S)
                    message = process.stderr.read().decode()
                    self.assertLess(time.monotonic() - begin, 3, message)  # 1 s, and a busy machine
                    self.assertEqual(process.returncode, 130, message)
                    self.assertIn("stopped on request", message)
                    self.assertEqual(list(self.folder.glob("coala-judge-*")), [])
                    self.assertEqual(list(self.folder.glob("*.coala-tmp-*")), [])
                    self.assertEqual(running("sleep\0" "1000\0"), [], "the judge goes on")

    def test_a_judge_has_a_time_limit(self):
        message = self.refused("eval", "--generate", "--model", "m.gguf", "--head", "h.st", "--allow-unbound", "--data",
                               "q.jsonl", "--guidance", "best-of-n", "--num-candidates", "2", "--max-tokens", "3",
                               "--judge-command", "sleep 1000", "--judge-seconds", "0.2")
        self.assertIn("is not done", message)

    def test_a_signal_that_is_ignored_stays_ignored(self):
        status, message, _ = run(shell="trap '' HUP; $C generate --model m.gguf --data q.jsonl --max-tokens 400 "
                                 "--ignore-eos --out r & sleep 0.1; kill -HUP $!; wait $!", folder=self.folder)
        self.assertEqual(status, 0, message)

    def test_small_stacks_and_few_descriptors(self):
        command = "$C generate --model m.gguf --prompt a --max-tokens 1"
        for stack_kib in (64, 256, 400):
            self.assertIn("stack", self.refused(shell=f"ulimit -s {stack_kib}; exec {command}"))
        for limit in ("-s 512", "-n 7"):
            status, message, _ = run(shell=f"ulimit {limit}; exec {command}", folder=self.folder)
            self.assertIn(status, (0, 1, 2), message)
        self.refused("prepare", "--data", "x" * 300, "--out", "y")

    # Models, templates, grammars

    def changed_model(self, **values):
        """The model with 32-bit values of its header replaced."""
        content = (self.folder / "m.gguf").read_bytes()
        for key, value in values.items():
            name = key.replace("__", ".").encode()
            at = content.index(struct.pack("<Q", len(name)) + name) + 8 + len(name) + 4
            content = content[:at] + struct.pack("<I", value) + content[at + 4:]
        path = self.folder / "changed.gguf"
        path.write_bytes(content)
        return path

    def test_models_that_do_not_fit_their_architecture(self):
        for values in ({"llama__attention__head_count": 3}, {"llama__attention__head_count_kv": 5},
                       {"llama__rope__dimension_count": 2}, {"llama__block_count": 1}, {"llama__feed_forward_length": 7},
                       {"llama__attention__head_count": 2**31}, {"llama__embedding_length": 63}):
            for command in (["generate", "--prompt", "a cat", "--max-tokens", "2"], ["extract", "--data", "pairs.jsonl",
                                                                                    "--out", "x.st"]):
                with self.subTest(values=values, command=command):
                    try:
                        path = self.changed_model(**values)
                    except ValueError:
                        self.skipTest("the model does not say that")
                    status, message, _ = run(*command, "--model", path, folder=self.folder)
                    self.assertIn(status, (0, 2), message)

    def test_pipes_are_no_models(self):
        os.mkfifo(self.folder / "pipe")
        for option in ("--model", "--lora", "--head"):
            rest = [] if option == "--model" else ["--model", "m.gguf"]
            self.refused("generate", *rest, option, "pipe", "--prompt", "a")
        self.refused("train", "--features", "pipe", "--out", "x")

    TEMPLATES = {
        "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}"
                 "{% endfor %}",
        "recursion": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
        "doubling": "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"
                    "{{ ns.s }}",
        "range": "{% for i in range(1000000000) %}{{ i }}{% endfor %}",
        "times": "{{ 'abc' * 100000000000 }}",
        "itself": "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns | tojson }}",
        "output": "{{ messages[0]['content'] * 9000000 }}",
        "indent": "{{ messages | tojson(indent=2000000000) }}",
    }

    def test_templates_that_wait_for_a_word(self):
        for name, bomb in self.TEMPLATES.items():
            with self.subTest(template=name):
                plain = "{{ messages[0]['content'] }}"
                (self.folder / "t").write_text("{% if 'zebra' in messages[0]['content'] %}" + bomb + "{% else %}" + plain +
                                               "{% endif %}")
                command = ["generate", "--model", "m.gguf", "--template", "t", "--max-tokens", "2", "--prompt"]
                status, message, _ = run(*command, "a horse", folder=self.folder)
                self.assertEqual(status, 0, message)
                self.assertIn("template", self.refused(*command, "a zebra"))
                (self.folder / "t").write_text(bomb)
                self.refused(*command, "a horse")

    def test_the_reason_that_a_template_gives_is_shown(self):
        (self.folder / "t").write_text("{% if messages | length > 1 %}{{ raise_exception('Roles must alternate: a b') }}"
                                       "{% endif %}{{ messages[0]['content'] }}")
        (self.folder / "two.jsonl").write_text(json.dumps({"messages": [{"role": "user", "content": "a"},
                                                                       {"role": "user", "content": "b"}]}) + "\n")
        message = self.refused("generate", "--model", "m.gguf", "--template", "t", "--data", "two.jsonl", "--max-tokens",
                               "1")
        self.assertIn("Roles must alternate: a b", message)

    def test_grammars(self):
        grammars = {"repetition turned over": 'root ::= "a"{5,2}\n', "nested": "root ::= " + "(" * 60000 + '"a"' + ")" * 60000,
                    "alternatives": "root ::= " + " | ".join(f'"{i}"' for i in range(200000)), "open": "root ::= " + "(" * 200000,
                    "repetitions of repetitions": 'root ::= (((("a"{900}){900}){900}){900})\n', "words": "root := \x1b]0;t\x07"}
        for name, text in grammars.items():
            with self.subTest(grammar=name):
                (self.folder / "g").write_text(text)
                self.refused("generate", "--model", "m.gguf", "--prompt", "a", "--max-tokens", "2", "--grammar-file", "g")
        self.refused("generate", "--model", "m.gguf", "--prompt", "a", "--grammar-file", "/dev/zero")
        (self.folder / "g").write_text('root ::= "yes" | "no"\n')
        status, message, out = run("generate", "--model", "m.gguf", "--prompt", "a", "--grammar-file", "g",
                                   folder=self.folder)
        self.assertEqual(status, 0, message)
        self.assertIn(json.loads(out)["text"], ("yes", "no"))

    def test_cases_that_were_seen(self):
        if CASES is None or not CASES.is_dir():
            self.skipTest("the folder of hostile cases is not there")
        for path in sorted(CASES.glob("*.gguf.gz")):
            model = self.folder / "case.gguf"
            model.write_bytes(gzip.decompress(path.read_bytes()))
            for command in (["generate", "--prompt", "a cat", "--max-tokens", "2"],
                            ["extract", "--data", "pairs.jsonl", "--out", path.name + ".st"]):
                with self.subTest(case=path.name, command=command[0]):
                    status, message, _ = run(*command, "--model", "case.gguf", folder=self.folder)
                    fine = path.name.startswith(("b03", "b05"))
                    self.assertEqual(status, 0 if fine else 2, message)
        for path in sorted(CASES.glob("*.jinja")):
            with self.subTest(case=path.name):
                self.refused("generate", "--model", "m.gguf", "--template", path, "--prompt", "a zebra", "--max-tokens", "2")
        for path in sorted(CASES.glob("*.safetensors")):
            with self.subTest(case=path.name):
                status, message, _ = run("train", "--features", path, "--out", "x", folder=self.folder)
                self.assertEqual(status, 0, message)

    # Files and values

    def test_files_that_shrink_while_they_are_read(self):
        (self.folder / "long.jsonl").write_text("".join(json.dumps({"prompt": f"{i}"}) + "\n" for i in range(3000)))
        for command, file in ((["generate", "--model", "m.gguf", "--data", "long.jsonl", "--max-tokens", "200",
                                "--ignore-eos", "--out", "r"], "m.gguf"),):
            process = subprocess.Popen([BINARY, *command], cwd=self.folder, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            time.sleep(1.5)
            os.truncate(self.folder / file, 4096)
            process.wait(LONGEST_S)
            message = process.stderr.read().decode()
            self.assertEqual(process.returncode, 1, message)
            self.assertIn("has become shorter", message)

    def test_names_that_are_not_utf8(self):
        odd = os.fsencode(str(self.folder)) + b"/x\xff.jsonl"
        os.rename(os.fsencode(str(self.folder)) + b"/pairs.jsonl", odd)
        folder = os.fsencode(str(self.folder)) + b"/o\xff"
        for command in (["extract", "--model", "m.gguf", "--data", odd, "--out", "x.st"],
                        ["align", "--model", "m.gguf", "--data", odd, "--token-rank", "0", "--gates", "0", "--out", folder]):
            done = subprocess.run([BINARY, *command], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=LONGEST_S, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            done.stdout.decode()  # is UTF-8
        self.assertTrue(os.path.exists(folder + b"/metrics.json"))

    def test_numbers_that_are_none(self):
        for number in ("nan", "inf", "-inf", "1e999"):
            for command in (["export", "--model", "m.gguf", "--head", "h.st", "--out", "y", "--guidance-scale"],
                            ["train", "--features", "f.st", "--out", "x", "--tolerance"],
                            ["train", "--features", "f.st", "--out", "x", "--phase2-gamma"],
                            ["train", "--features", "f.st", "--out", "x", "--phase2-beta"],
                            ["train", "--features", "f.st", "--out", "x", "--cronos-beta"],
                            ["generate", "--model", "m.gguf", "--prompt", "a", "--temperature"]):
                with self.subTest(number=number, command=command):
                    self.refused(*command, number)

    def test_keys_that_are_there_twice(self):
        content = (self.folder / "f.st").read_bytes()
        size = struct.unpack("<Q", content[:8])[0]
        header = content[8:8 + size].rstrip()
        first = json.loads(header)
        name = next(key for key in first if key != "__metadata__")
        for twice in (f'"{name}": {json.dumps(first[name])}', '"__metadata__": {}', '"__metadata__": {"a": "b", "a": "c"}'):
            changed = header[:-1] + b", " + twice.encode() + b"}"
            (self.folder / "f.st").write_bytes(struct.pack("<Q", len(changed)) + changed + content[8 + size:])
            self.assertIn("twice", self.refused("train", "--features", "f.st", "--out", "x"))

    def test_messages_are_printable(self):
        escape = "\x1b]0;title\x07\u202e"
        (self.folder / "bad.jsonl").write_text(json.dumps({"id": escape, "prompt": "", "chosen": 1, "rejected": 2}) + "\n")
        self.refused("prepare", "--data", "bad.jsonl", "--out", "x")
        self.refused("prepare", "--data", escape, "--out", "x")
        self.refused("generate", "--model", escape, "--prompt", "a")
        os.rename(self.folder / "h.st", self.folder / (escape + ".st"))
        status, message, out = run("inspect", escape + ".st", folder=self.folder)
        self.assertEqual(status, 0, message)
        self.assertNotIn(b"\x1b", out)
        self.assertNotIn("\u202e".encode(), out)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
