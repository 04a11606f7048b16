#!/usr/bin/env python3
"""`coala judge` asks a scripted endpoint with planted faults: what is reported, what is asked again and what is not, budget,
kills, and that the key is nowhere. Usage: judge_ask_test.py BINARY"""

import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from scripted_endpoint import KEY, Endpoint, part

BINARY = os.path.abspath(sys.argv[1])
PAIRS = 60


class Asks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Endpoint()

    def setUp(self):
        self.place = tempfile.TemporaryDirectory()
        self.addCleanup(self.place.cleanup)
        self.folder = pathlib.Path(self.place.name)
        self.server.reset()
        draw = random.Random(1)
        self.stars = []
        with open(self.folder / "new.jsonl", "w", encoding="utf-8") as new, open(self.folder / "old.jsonl", "w", encoding="utf-8") as old:
            for i in range(PAIRS):
                stars = [draw.randint(0, 3) + 1, draw.randint(0, 3)]
                self.stars.append(stars)
                prompt = [{"role": "user", "content": f"question {i}"}] if i % 2 else f"question {i}"
                print(json.dumps({"id": f"p{i}", "prompt": prompt, "text": "é" * draw.randint(1, 40) + "*" * stars[0]}), file=new)
                print(json.dumps({"instruction": f"question {i}", "output": "n" * 20 + "*" * stars[1]}), file=old)

    def command(self, *more, model="m"):
        return [BINARY, "judge", "--replies", "new.jsonl", "--against", "old.jsonl", "--transcript", "t.jsonl", "--endpoint",
                self.server.url, "--judge-model", model, "--wait", "0.01", *map(str, more)]

    def run_it(self, *more, status=0, **named):
        done = subprocess.run(self.command("--json", *more, **named), cwd=self.folder, capture_output=True, text=True,
                              env=os.environ | {"COALA_JUDGE_KEY": KEY})
        self.assertEqual(done.returncode, status, done.stderr)
        self.no_key(done.stdout + done.stderr)
        return json.loads(done.stdout) if status == 0 else done.stderr

    def no_key(self, said):
        self.assertNotIn(KEY, said)
        for path in self.folder.rglob("*"):
            self.assertNotIn(KEY.encode(), path.read_bytes(), path)

    def lines(self):
        return [json.loads(line) for line in (self.folder / "t.jsonl").read_text().splitlines()]

    def truth(self):
        return sum(1 if a > b else 0.5 if a == b else 0 for a, b in self.stars) / PAIRS

    def test_both_orders_of_each_pair(self):
        result = self.run_it("--parallel", 5)
        judge = result["comparisons"][0]["judges"][0]
        self.assertAlmostEqual(judge["win_rate"], self.truth())
        self.assertEqual(judge["first_place_wins"]["value"], 0.5)
        self.assertEqual(judge["same_in_both_orders"], 1)
        self.assertEqual(result["calls"], 2 * PAIRS)
        self.assertGreater(self.server.most, 1)
        self.assertLessEqual(self.server.most, 5)
        self.assertEqual(self.server.keys_seen, {f"Bearer {KEY}"})
        lines = self.lines()
        self.assertEqual(len(lines), 2 * PAIRS)
        new = [json.loads(line) for line in (self.folder / "new.jsonl").read_text().splitlines()]
        for line in lines:  # each can be checked by itself
            content = line["request"]["messages"][1]["content"]
            reply = next(row["text"] for row in new if row["id"] == line["id"])
            self.assertEqual(part(content, f"reply {line['place'] + 1}"), reply)
            self.assertEqual(line["lengths"][0], len(reply))
            self.assertTrue(line["answer"].endswith({"first": "[[1]]", "second": "[[2]]", "tie": "[[tie]]"}[line["verdict"]]))

    def test_nothing_is_asked_twice(self):
        first = self.run_it()
        second = self.run_it()
        self.assertEqual(second["calls"], 0)
        self.assertEqual(first["comparisons"], second["comparisons"])
        self.assertEqual(max(self.server.asked.values()), 1)
        done = subprocess.run([BINARY, "judge", "--annotations", "t.jsonl", "--json"], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(json.loads(done.stdout)["comparisons"], first["comparisons"])

    def test_equal_questions_are_asked_once(self):
        for name in ("new.jsonl", "old.jsonl"):
            (self.folder / name).write_text('{"prompt": "p", "text": "same"}\n' * 3)
        result = self.run_it()
        self.assertEqual(result["calls"], 1)
        self.assertEqual(len(self.lines()), 6)
        self.assertEqual(result["comparisons"][0]["judges"][0]["ties"], 3)

    def test_what_passes_is_tried_again(self):
        self.server.reset(fails=2)
        judge = self.run_it("--retries", 4)["comparisons"][0]["judges"][0]
        self.assertAlmostEqual(judge["win_rate"], self.truth())
        self.assertEqual(set(self.server.answered.values()), {1})
        self.assertGreater(sum(self.server.asked.values()), 2 * PAIRS)
        self.server.reset(fails=100)
        (self.folder / "t.jsonl").unlink()
        self.assertIn("tried 2 times", self.run_it("--retries", 1, status=1))

    def test_a_refused_key_is_said_and_not_shown(self):
        self.server.reset(refuses=True)
        self.assertIn("answers 401", self.run_it(status=2))
        self.assertLessEqual(sum(self.server.asked.values()), 4)

    def test_refused_questions_are_kept_and_block_nothing(self):
        self.server.reset(refused=0.2, seed=1)
        done = subprocess.run(self.command("--json"), cwd=self.folder, capture_output=True, text=True,
                              env=os.environ | {"COALA_JUDGE_KEY": KEY})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.no_key(done.stdout + done.stderr)
        refused = [line for line in self.lines() if "refused" in line]
        self.assertGreater(len(refused), 5)
        self.assertIn(f"refused {len(refused)} questions", done.stderr)
        self.assertEqual({line["refused"]["status"] for line in refused}, {400, 413, 422})
        self.assertEqual({line["refused"]["message"] for line in refused}, {"too long, Bearer [key]"})
        self.assertEqual({(line["answer"], line["verdict"]) for line in refused}, {("", None)})
        judge = json.loads(done.stdout)["comparisons"][0]["judges"][0]
        self.assertEqual(judge["refused"], len(refused))
        self.assertEqual(judge["left_out"], len({line["id"] for line in refused}))
        asked = dict(self.server.asked)
        self.assertEqual(self.run_it()["comparisons"][0]["judges"][0], judge)
        self.assertEqual(self.server.asked, asked)

    def test_a_server_that_refuses_everything_ends_the_run(self):
        self.server.reset(unknown=True)
        self.assertIn("answers 400: \"no model of this name, Bearer [key]\"", self.run_it(status=2))
        self.assertLessEqual(sum(self.server.asked.values()), 40)
        self.assertEqual(self.lines(), [])
        self.server.reset()  # it was the server's fault: all is asked now
        self.assertAlmostEqual(self.run_it()["comparisons"][0]["judges"][0]["win_rate"], self.truth())

    def test_probabilities_of_verdicts(self):
        self.server.reset(logprobs="given")
        judge = self.run_it()["comparisons"][0]["judges"][0]
        self.assertAlmostEqual(judge["win_rate"], self.truth())
        preferences = []
        for line in self.lines():
            of = self.server.probabilities[json.dumps(line["request"]["messages"])]
            for verdict, name in (("1", "first"), ("2", "second"), ("tie", "tie")):
                self.assertAlmostEqual(line["probabilities"][name], of[verdict])
            ours = of["2" if line["place"] else "1"]
            preferences.append((ours + of["tie"] / 2) / sum(of.values()))
        self.assertAlmostEqual(judge["win_rate_by_probability"]["value"], sum(preferences) / len(preferences))
        self.server.reset(logprobs="given", malformed=0.1)  # what has no verdict has none
        (self.folder / "t.jsonl").unlink()
        self.assertIn("win_rate_by_probability", self.run_it()["comparisons"][0]["judges"][0])

    def test_a_server_without_probabilities_is_asked_without(self):
        for status in (400, 403):
            with self.subTest(status=status):
                self.server.reset(logprobs="refused", status=status)
                (self.folder / "t.jsonl").unlink(missing_ok=True)
                done = subprocess.run(self.command("--json"), cwd=self.folder, capture_output=True, text=True,
                                      env=os.environ | {"COALA_JUDGE_KEY": KEY})
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stderr.count("gives no probabilities"), 1)
                judge = json.loads(done.stdout)["comparisons"][0]["judges"][0]
                self.assertAlmostEqual(judge["win_rate"], self.truth())
                self.assertNotIn("win_rate_by_probability", judge)
                self.assertLessEqual(sum(self.server.asked.values()), 2 * PAIRS + 4)

    def test_planted_faults_are_reported(self):
        self.server.reset(front=0.3, malformed=0.1)
        judge = self.run_it()["comparisons"][0]["judges"][0]
        lines = self.lines()
        unread = {line["pair"] for line in lines if line["verdict"] is None}
        self.assertEqual(judge["left_out"], len(unread))
        self.assertGreater(len(unread), 0)
        whole = [line for line in lines if line["pair"] not in unread]
        front = sum({"first": 1, "second": 0, "tie": 0.5}[line["verdict"]] for line in whole) / len(whole)
        self.assertAlmostEqual(judge["first_place_wins"]["value"], front)
        low, high = judge["first_place_wins"]["ci95"]
        self.assertGreater(low, 0.5)
        self.assertTrue(low <= 0.5 + 0.3 / 2 <= high)

    def test_a_cut_answer_has_no_verdict(self):
        self.server.faults = {"cut": 0.3}
        judge = self.run_it()["comparisons"][0]["judges"][0]
        cut = [line for line in self.lines() if line.get("finish") == "length"]
        self.assertTrue(cut)
        self.assertTrue(all(line["verdict"] is None and "[[" in line["answer"] for line in cut))
        self.assertEqual(judge["left_out"], len({line["id"] for line in cut}))

    def test_a_dummy_key_is_no_secret(self):
        done = subprocess.run(self.command("--json"), cwd=self.folder, capture_output=True, text=True, timeout=60,
                              env=os.environ | {"COALA_JUDGE_KEY": "1"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertAlmostEqual(json.loads(done.stdout)["comparisons"][0]["judges"][0]["win_rate"], self.truth())

    def test_a_budget_and_an_estimate(self):
        estimate = self.run_it("--estimate")
        self.assertEqual(estimate["estimate"][0]["requests"], 2 * PAIRS)
        self.assertEqual(sum(self.server.asked.values()), 0)
        self.server.reset(fails=1)
        for _ in range(3):
            before = sum(self.server.asked.values())
            result = self.run_it("--most-calls", 50)
            self.assertLessEqual(sum(self.server.asked.values()) - before, 50)
            self.assertEqual(result["complete"], False)
        self.assertTrue(self.run_it()["complete"])
        self.assertEqual(set(self.server.answered.values()), {1})

    def test_marks(self):
        judge = self.run_it("--task", "marks")["comparisons"][0]["judges"][0]
        self.assertAlmostEqual(judge["marks"][0]["value"], 1 + sum(a for a, _ in self.stars) / PAIRS)
        self.assertAlmostEqual(judge["mark_difference"]["value"], sum(a - b for a, b in self.stars) / PAIRS)
        self.assertAlmostEqual(judge["win_rate"], self.truth())

    def test_judges_agree_with_each_other_and_with_people(self):
        (self.folder / "labels.jsonl").write_text("".join(json.dumps(
            {"id": f"p{i}", "better": "replies" if a > b else "against" if b > a else "tie"}) + "\n" for i, (a, b) in enumerate(self.stars)))
        (self.folder / "judge.py").write_text("import json, sys\nfor line in sys.stdin:\n"
                                              "    print(json.dumps({'score': json.loads(line)['response'].count('*')}))\n")
        result = self.run_it("--judge-command", f"{sys.executable} judge.py", "--labels", "labels.jsonl", "--judge-model", "n")
        comparison = result["comparisons"][0]
        self.assertEqual(len(comparison["judges"]), 4)
        self.assertEqual({agreement["cohen_kappa"]["value"] for agreement in comparison["agreement"]}, {1.0})
        self.assertEqual(comparison["krippendorff_alpha"]["value"], 1)
        again = self.run_it("--judge-command", f"{sys.executable} judge.py", "--labels", "labels.jsonl", "--judge-model", "n")
        self.assertEqual(again["comparisons"], result["comparisons"])
        self.assertEqual(again["calls"], 0)

    def test_kills_lose_nothing_that_was_answered(self):
        self.server.reset(seconds=0.02)
        parallel, kills, known, bodies = 3, 0, 0, {}
        for k in range(20):
            process = subprocess.Popen(self.command("--parallel", parallel, "--quiet"), cwd=self.folder, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, env=os.environ | {"COALA_JUDGE_KEY": KEY})
            try:
                process.wait(0.02 + 0.004 * (k % 20))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
            time.sleep(0.03)  # until what was under way is over
            content = (self.folder / "t.jsonl").read_bytes() if (self.folder / "t.jsonl").exists() else b""
            self.assertGreaterEqual(content.count(b"\n"), known)
            known = content.count(b"\n")
            for body, count in bodies.items():
                self.assertEqual(self.server.asked[body], count, "what was in the transcript is asked again")
            whole = content[:content.rindex(b"\n") + 1] if known else b""
            kept = {json.dumps(json.loads(line)["request"]["messages"]) for line in whole.splitlines()}
            bodies = {body: count for body, count in self.server.asked.items() if json.dumps(json.loads(body)["messages"]) in kept}
            if k == 10:  # as a power cut may leave it
                with open(self.folder / "t.jsonl", "ab") as file:
                    file.write(b'{"coala_judgment":1,"ga')
        result = self.run_it("--parallel", parallel)
        self.assertGreater(kills, 5)
        self.assertEqual(len(self.lines()), 2 * PAIRS)
        self.assertAlmostEqual(result["comparisons"][0]["judges"][0]["win_rate"], self.truth())
        # Only what was under way when a run was killed may be asked again.
        again = sum(self.server.asked.values()) - 2 * PAIRS
        self.assertLessEqual(again, kills * parallel)

    def test_what_is_refused(self):
        for more, said in ((["--against", "new.jsonl", "--transcript", "new.jsonl"], "would replace"),
                           (["--endpoint", "ftp://x"], "no address"), (["--endpoint", f"http://{KEY}@h/v1"], "no address")):
            with self.subTest(more=more):
                command = [BINARY, "judge", "--replies", "new.jsonl", "--judge-model", "m"]
                for name, value in (("--against", "old.jsonl"), ("--transcript", "u.jsonl"), ("--endpoint", self.server.url)):
                    command += [name, more[more.index(name) + 1] if name in more else value]
                done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(said, done.stderr)
        (self.folder / "u.jsonl").write_text("precious\n")
        done = subprocess.run([BINARY, "judge", "--replies", "new.jsonl", "--against", "old.jsonl", "--transcript", "u.jsonl",
                               "--endpoint", self.server.url, "--judge-model", "m"], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertEqual((self.folder / "u.jsonl").read_text(), "precious\n")

    def test_a_damaged_line_of_a_transcript_is_named(self):
        self.run_it()
        whole = (self.folder / "t.jsonl").read_text().splitlines()
        for damage in ("{}", "nonsense", whole[3][:50], json.dumps(json.loads(whole[3]) | {"game": 3}),
                       json.dumps(json.loads(whole[3]) | {"answer": 3}), json.dumps(json.loads(whole[3]) | {"refused": 3})):
            with self.subTest(damage=damage[:80]):
                (self.folder / "t.jsonl").write_text("\n".join(whole[:3] + [damage] + whole[4:]) + "\n")
                self.assertIn("t.jsonl, line 4 is", self.run_it(status=2))

    def test_half_a_line_at_the_end_is_said(self):
        self.run_it()
        content = (self.folder / "t.jsonl").read_bytes()
        (self.folder / "t.jsonl").write_bytes(content[:-40])
        done = subprocess.run(self.command("--json"), cwd=self.folder, capture_output=True, text=True,
                              env=os.environ | {"COALA_JUDGE_KEY": KEY})
        self.assertIn("half a line", done.stderr)
        self.assertEqual(json.loads(done.stdout)["calls"], 1)
        (self.folder / "t.jsonl").write_bytes((self.folder / "t.jsonl").read_bytes()[:-1])  # an editor's
        self.assertEqual(self.run_it()["calls"], 0)
        self.assertEqual((self.folder / "t.jsonl").read_bytes().count(b"\n"), 2 * PAIRS)

    def test_a_full_disk_leaves_whole_lines(self):
        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
        done = subprocess.run(self.command("--json", "--parallel", 1), cwd=self.folder, capture_output=True, text=True,
                              preexec_fn=small_files, restore_signals=False, env=os.environ | {"COALA_JUDGE_KEY": KEY})
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("cannot write t.jsonl", done.stderr)
        self.assertTrue((self.folder / "t.jsonl").read_bytes().endswith(b"}\n"))
        known = len(self.lines())
        self.assertGreater(known, 1)
        self.assertEqual(self.run_it()["calls"], 2 * PAIRS - known)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
