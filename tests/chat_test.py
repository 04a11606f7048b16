#!/usr/bin/env python3
"""`coala chat` through a pipe: what is said, what is kept. Usage: chat_test.py BINARY MODEL"""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

BINARY, MODEL = map(os.path.abspath, sys.argv[1:3])


def held_by(pipe):
    """Bytes that are written to the pipe and not yet read."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4), sys.byteorder)


def drain(pipe):
    with contextlib.suppress(BlockingIOError):
        while os.read(pipe, 4096):
            pass


class Chat(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.place.name)
        with open(cls.folder / "data.jsonl", "w", encoding="utf-8") as file:
            for i in range(60):
                print(json.dumps({"prompt": f"q {i}", "chosen": "yes yes " * (i % 5 + 1), "rejected": "no no " * (i % 4 + 1)}),
                      file=file)
        subprocess.run([BINARY, "align", "--model", MODEL, "--data", "data.jsonl", "--out", "a", "--gates", "0", "--quiet",
                        "--token-rank", "8"], cwd=cls.folder, check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        cls.place.cleanup()

    def tearDown(self):
        (self.folder / "kept.jsonl").unlink(missing_ok=True)

    def talk(self, *lines, options=()):
        """The replies and the notes."""
        done = subprocess.run([BINARY, "chat", "-m", MODEL, "-n", "12", "-t", "1", "--quiet", "--ignore-eos", "--pairs",
                               "kept.jsonl", *options], cwd=self.folder, input="\n".join(lines) + "\n", text=True,
                              errors="replace", capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout, done.stderr

    def kept(self):
        path = self.folder / "kept.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def test_good_replies_and_bad_ones_become_pairs(self):
        self.talk("hello", "/bad", "/bad", "/good", "and then", "/quit")
        pairs = self.kept()
        self.assertEqual(len(pairs), 2)
        for pair in pairs:
            self.assertEqual(pair["prompt"], [{"role": "user", "content": "hello"}])
            self.assertNotEqual(pair["chosen"], pair["rejected"])
        self.assertEqual(pairs[0]["chosen"], pairs[1]["chosen"])
        done = subprocess.run([BINARY, "prepare", "--data", "kept.jsonl", "--out", "p.jsonl", "--json", "--quiet"],
                              cwd=self.folder, capture_output=True, check=True)
        self.assertEqual(json.loads(done.stdout)["written"], 2)

    def test_a_choice_of_two_is_kept_and_gone_on_with(self):
        self.talk("/compare", "hello", "/a", "more", "/b", options=["--head", "a/head.safetensors", "--system", "short"])
        first, second = self.kept()
        self.assertEqual([message["role"] for message in first["prompt"]], ["system", "user"])
        self.assertEqual(second["prompt"][2], {"role": "assistant", "content": first["chosen"]})
        self.assertNotEqual(first["chosen"], first["rejected"])

    def test_ctrl_c_ends_the_reply_and_not_the_talk(self):
        model = pathlib.Path(__file__).resolve().parents[1] / "demo" / "model" / "tutor-3m-f16.gguf"
        # A reply of this model's whole context would pass in a moment. The pipe is filled but for a few bytes, so that
        # it waits there for the test, in its middle, however fast the machine is.
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        os.set_blocking(reader, False)
        size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        process = subprocess.Popen([BINARY, "chat", "-m", model, "-n", "100000", "-t", "1", "--ignore-eos", "--temperature",
                                    "1"], cwd=self.folder, stdin=subprocess.PIPE, stdout=writer, stderr=subprocess.PIPE)
        self.addCleanup(process.kill)
        try:
            for question in (b"What is a rebus?\n", b"And a hen?\n"):
                drain(reader)
                os.write(writer, b"." * (size - 20))
                process.stdin.write(question)
                process.stdin.flush()
                while held_by(reader) == size - 20:
                    self.assertIsNone(process.poll())
                    time.sleep(0.001)
                process.send_signal(signal.SIGINT)
                drain(reader)
                said = b""
                while b"stopped; what there is of the reply stays" not in said:
                    said = process.stderr.readline()
                    self.assertTrue(said, "it has ended")
            _, err = process.communicate(b"/undo\n/quit\n", timeout=20)
        finally:
            process.kill()
            os.close(writer)
        self.assertEqual(process.returncode, 0, err)
        self.assertIn(b"the last question is taken back", err)
        # At the end of input, and by SIGTERM, it ends as before.
        process = subprocess.Popen([BINARY, "chat", "-m", model, "-n", "100000", "--ignore-eos"], cwd=self.folder,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.kill)
        process.stdin.write(b"What is a rebus?\n")
        process.stdin.flush()
        self.assertTrue(process.stdout.read(20))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=10), 130)
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()

    def test_scale_zero_writes_as_the_model_does(self):
        cold = ["--temperature", "0", "--head", "a/head.safetensors"]
        plain, _ = self.talk("hello", options=["--temperature", "0"])
        self.assertEqual(self.talk("/scale 0", "hello", options=cold)[0], plain)
        self.assertNotEqual(self.talk("/scale 8", "hello", options=cold)[0], plain)

    def test_a_question_is_taken_back(self):
        cold = ["--temperature", "0"]
        fresh, _ = self.talk("hello", options=cold)
        out, notes = self.talk("something else", "/undo", "hello", options=cold)
        self.assertTrue(out.endswith(fresh))
        self.assertIn("taken back", notes)
        self.assertEqual(self.talk("/system x", "hello", "/system", "hello", options=cold)[0].splitlines()[-1],
                         fresh.splitlines()[-1])

    def test_questions_are_taken_back_one_by_one(self):
        # One seed: the first question's reply is the same however the conversation goes on.
        (first, worse, good), _ = (part.splitlines() for part in self.talk("one", "/bad", "two"))
        out, notes = self.talk("one", "/bad", "two", "/undo", "/good", "/again", "/undo", "/undo", "three")
        self.assertEqual(out.splitlines()[:3], [first, worse, good])
        self.assertEqual(len(out.splitlines()), 5)
        self.assertIn('the last one now: "one"', notes)
        self.assertEqual(notes.count("taken back"), 2)
        self.assertEqual(notes.count("no reply yet"), 1)
        (pair,) = self.kept()
        self.assertEqual(pair["prompt"], [{"role": "user", "content": "one"}])
        shown = [re.sub(r"[\x00-\x1f\x7f-\x9f]", "", pair[key]) for key in ("chosen", "rejected")]
        self.assertEqual(shown, [worse, first])

    def test_a_choice_may_be_made_after_a_later_question_is_taken_back(self):
        _, notes = self.talk("/compare", "one", "two", "/undo", "/a", "/a", "/compare", "/again", "/b",
                             options=["--head", "a/head.safetensors"])
        (pair,) = self.kept()
        self.assertEqual(pair["prompt"], [{"role": "user", "content": "one"}])
        self.assertEqual(notes.count("there are no two replies"), 2)
        self.assertEqual(notes.count("hint: /compare draws them"), 2)
        self.assertEqual(notes.count("/a or /b"), 1)
        # A reply that was not compared is none of two.
        _, notes = self.talk("/compare", "one", "/compare", "/again", "/a", options=["--head", "a/head.safetensors"])
        self.assertEqual(notes.count("there are no two replies"), 1)
        self.assertEqual(len(self.kept()), 1)

    def test_ids_of_two_conversations_do_not_meet(self):
        ids = []
        for _ in range(2):
            self.talk("hello", "/bad", "/bad", "/good")
            ids = [pair["id"] for pair in self.kept()]
        self.assertEqual(len(ids), 4)
        self.assertEqual(len(set(ids)), 4, ids)
        # Beside pairs of somebody, whose last line has no end.
        own = json.dumps({"id": "chat-0-77", "prompt": "p", "chosen": "c", "rejected": "r"})
        (self.folder / "kept.jsonl").write_text('{"prompt": "p", "chosen": "c", "rejected": "r"}\n' + own)
        self.talk("hello", "/bad", "/good")
        self.assertEqual([pair.get("id") for pair in self.kept()], [None, "chat-0-77", "chat-0-78"])

    def test_pairs_are_added_to_no_other_file(self):
        (self.folder / "kept.jsonl").write_text('{"a": 1}\nnotes\n')
        done = subprocess.run([BINARY, "chat", "-m", MODEL, "--pairs", "kept.jsonl"], cwd=self.folder, input="hello\n",
                              text=True, capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("line 2 is no JSON object", done.stderr)
        self.assertEqual((self.folder / "kept.jsonl").read_text(), '{"a": 1}\nnotes\n')

    def test_words_of_other_programs_and_mistyped_ones(self):
        cold = ["--temperature", "0", "--system", "short"]
        fresh, _ = self.talk("hello", options=cold)
        out, notes = self.talk("something else", "/clear", "hello", "/agian", "/Undo", "/?", "/exit", "more", options=cold)
        self.assertEqual(out.splitlines()[1:], fresh.splitlines())
        for said in ("begins anew", 'there is no "/agian"', "hint: did you mean /again?", "hint: did you mean /undo?"):
            self.assertIn(said, notes)
        listed = [line.split("  ")[0].strip() for line in notes.splitlines() if line.startswith("/")]
        self.assertEqual(listed[-1], "/quit, /exit, /bye")
        self.assertEqual(self.talk("/bye", "hello")[0], "")
        self.assertEqual(self.talk("/quit", "hello")[0], "")

    def on_terminal(self, columns):
        """What is written to a terminal of so many columns when two replies are compared."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen([BINARY, "chat", "-m", MODEL, "-n", "60", "-t", "1", "--quiet", "--ignore-eos", "--compare",
                                    "--head", "a/head.safetensors"], cwd=self.folder, stdin=subprocess.PIPE, stdout=slave,
                                   stderr=subprocess.DEVNULL)
        os.close(slave)
        process.stdin.write(b"hello\n")
        process.stdin.close()
        written = b""
        with contextlib.suppress(OSError):  # the last writer is gone
            while piece := os.read(master, 65536):
                written += piece
        os.close(master)
        self.assertEqual(process.wait(timeout=60), 0)
        return written.decode(errors="replace").replace("\r\n", "\n")

    def test_two_replies_are_beside_each_other_where_there_is_room(self):
        wide, narrow = self.on_terminal(100), self.on_terminal(99)
        self.assertTrue(narrow.startswith("A: "))
        self.assertTrue(wide.startswith(narrow))  # as it is written
        rule, heading, *lines = wide[len(narrow):].splitlines()
        self.assertEqual(set(rule), {"-"})
        self.assertEqual(heading.split(), ["A", "|", "B"])
        self.assertTrue(lines)
        for line in lines:
            self.assertEqual(line[48:51], " | ")
            self.assertLess(len(line), 100)

    def test_what_cannot_be_done_is_said_and_the_talk_goes_on(self):
        out, notes = self.talk("/good", "/undo", "/nonsense", "/scale 2", "/seed x", "/a", "hello", "/good")
        self.assertTrue(out)
        for said in ("no reply yet", "/help lists", "needs a head", "no number", "no other reply",
                     "hint: use --head", "hint: /bad draws one"):
            self.assertIn(said, notes)
        self.assertEqual(self.kept(), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
