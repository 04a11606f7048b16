#!/usr/bin/env python3
"""`coala judge` on files alone: programs and heads as judges, labels, transcripts of several runs, and annotations that exist
already. `coala cost` on files of models. Usage: judge_files_test.py BINARY MODEL"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "campaigns"))
import gguf_files as gguf  # noqa: E402
from program import make_head, write_pairs  # noqa: E402

BINARY, MODEL = map(os.path.abspath, sys.argv[1:3])
STARS = """import json, sys
for line in sys.stdin:
    print(json.dumps({"score": json.loads(line)["response"].count("*")}), flush=True)
"""


class Judged(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.folder = pathlib.Path(place.name)
        (self.folder / "stars.py").write_text(STARS)

    def run_it(self, *arguments, status=0):
        done = subprocess.run([BINARY, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stderr if status else done.stdout

    def judge(self, *more, status=0, program="stars.py", replies="new.jsonl", against="old.jsonl"):
        out = self.run_it("judge", "--replies", replies, "--against", against, "--transcript", "t.jsonl", "--judge-command",
                          f"{sys.executable} {program}", "--json", *more, status=status)
        return out if status else json.loads(out)

    def write(self, name, rows):
        (self.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def write_replies(self, count, new=lambda i: "*" * (i % 3), old=lambda i: "*" * (i % 2), prompt=lambda i: f"question {i}"):
        self.write("new.jsonl", [{"id": f"p{i}", "prompt": prompt(i), "text": new(i)} for i in range(count)])
        self.write("old.jsonl", [{"id": f"q{i}", "prompt": prompt(i), "text": old(i)} for i in range(count)])

    def lines(self, name="t.jsonl"):
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]


class Programs(Judged):
    def test_read_conversations_as_messages(self):
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
        prompts = [turns, [{"role": "user", "content": "one"}], "a text"]
        (self.folder / "seen.py").write_text(STARS.replace("for line in sys.stdin:\n", "for line in sys.stdin:\n"
                                             "    print(line, end='', file=open('seen.jsonl', 'a'))\n"))
        self.write("new.jsonl", [{"id": i, "prompt": prompt, "text": "x*"} for i, prompt in enumerate(prompts)]
                   + [{"id": 3, "prefix": "Once", "text": "x"}])
        self.write("old.jsonl", [{"id": i, "prompt": prompt, "text": "y"} for i, prompt in enumerate(prompts)]
                   + [{"id": 3, "prefix": "Once", "text": "y"}])
        self.judge(program="seen.py")
        said = {(line["id"], json.dumps(line["prompt"])) for line in self.lines("seen.jsonl")}
        user = [{"role": "user", "content": "a text"}]  # as `coala eval --generate` reads a prompt that is a text
        self.assertEqual(said, {(str(i), json.dumps(prompt)) for i, prompt in enumerate([*prompts[:2], user, "Once"])})

    def test_a_kill_loses_what_is_under_way_alone(self):
        self.write_replies(20, new=lambda i: f"{i}*")
        (self.folder / "slow.py").write_text(STARS.replace("for line in sys.stdin:", "import os, time\nfor n, line in enumerate(sys.stdin):\n"
                                             "    print(n, file=open('asked', 'a'))\n    if n == 7 and not os.path.exists('go'): time.sleep(60)"))
        process = subprocess.Popen([BINARY, "judge", "--replies", "new.jsonl", "--against", "old.jsonl", "--transcript", "t.jsonl",
                                    "--judge-command", f"{sys.executable} slow.py", "--quiet"], cwd=self.folder, start_new_session=True)
        try:
            late = time.monotonic() + 60
            while time.monotonic() < late and not ((self.folder / "t.jsonl").exists() and len(self.lines()) >= 7):
                time.sleep(0.02)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        known = self.lines()
        self.assertGreaterEqual(len(known), 7)
        self.assertLess(len(known), 20)
        (self.folder / "go").touch()
        (self.folder / "asked").unlink()
        result = self.judge(program="slow.py")
        different = {line["key"] for line in self.lines()} - {line["key"] for line in known}
        self.assertEqual(len((self.folder / "asked").read_text().splitlines()), len(different))
        self.assertEqual(result["comparisons"][0]["judges"][0]["win_rate"], 0.75)

    def test_one_that_fails_keeps_what_it_said(self):
        self.write_replies(10, new=lambda i: f"{i}*")
        (self.folder / "bad.py").write_text(STARS.replace("for line in sys.stdin:", "for n, line in enumerate(sys.stdin):\n"
                                                          "    if n == 5: sys.exit(3)"))
        self.assertIn("ended with status 3", self.judge(program="bad.py", status=2))
        self.assertGreaterEqual(len(self.lines()), 5)

    def test_one_that_is_out_of_step_is_not_believed(self):
        self.write_replies(10, new=lambda i: f"{i}*")
        for change in ("    if n == 5: sys.exit(0)", "    if n == 5: print('{\"score\": 1}')"):
            (self.folder / "bad.py").write_text(STARS.replace("for line in sys.stdin:", "for n, line in enumerate(sys.stdin):\n" + change))
            self.assertIn("lines for", self.judge(program="bad.py", status=2))
            self.assertEqual(self.lines(), [])


class Transcripts(Judged):
    def annotations(self, *more, status=0):
        out = self.run_it("judge", "--annotations", "t.jsonl", "--json", *more, status=status)
        return out if status else json.loads(out)["comparisons"]

    def test_files_of_the_same_names_are_apart(self):
        rates = []
        for k in range(2):
            folder = self.folder / str(k)
            folder.mkdir()
            self.write(f"{k}/new.jsonl", [{"prompt": f"p{i}", "text": "*" * (i % (2 + k)) + str(k)} for i in range(12)])
            self.write(f"{k}/old.jsonl", [{"prompt": f"p{i}", "text": "*"} for i in range(12)])
            judged = self.judge(replies=f"{k}/new.jsonl", against=f"{k}/old.jsonl")["comparisons"]
            self.assertEqual(len(judged), 1)
            rates.append(judged[0]["judges"][0]["win_rate"])
        self.assertNotEqual(*rates)
        self.assertEqual([comparison["judges"][0]["win_rate"] for comparison in self.annotations()], rates)

    def test_a_longer_file_asks_for_the_new_replies_alone(self):
        self.write_replies(4, new=lambda i: f"{i}*")
        self.judge()
        self.write_replies(6, new=lambda i: f"{i}*")
        judged = self.judge()["comparisons"]
        self.assertEqual(judged[0]["judges"][0]["pairs"], 6)
        self.assertEqual(sum("same_as" not in line for line in self.lines()), 2 * 6)
        self.assertEqual([comparison["judges"][0]["pairs"] for comparison in self.annotations()], [4, 6])

    def test_verdicts_and_marks_of_one_judge_are_apart(self):
        self.write_replies(4, old=lambda i: "")
        self.judge()
        judge = self.lines()[0]["judge"]
        pairs = {line["pair"]: line for line in self.lines()}
        with open(self.folder / "t.jsonl", "a") as file:
            for line in pairs.values():
                for place in (0, 1):
                    game = {key: value for key, value in line.items() if key not in ("mark", "source", "same_as")}
                    print(json.dumps(game | {"game": f"{line['game']} {place}", "place": place, "verdict": "first"}), file=file)
        judges = self.annotations()[0]["judges"]
        self.assertEqual([one["judge"] for one in judges], [f"{judge} (marks)", f"{judge} (pairs)"])
        self.assertEqual([one["win_rate"] for one in judges], [0.75, 0.5])
        self.assertIn("first_place_wins", judges[1])
        self.assertNotIn("first_place_wins", judges[0])

    def test_an_answer_with_other_settings_counts_and_is_said(self):
        self.write_replies(4)
        self.judge()
        line = self.lines()[0]
        with open(self.folder / "t.jsonl", "a") as file:
            print(json.dumps(line | {"game": "g", "key": "k", "mark": 9}), file=file)
        self.assertEqual(self.annotations()[0]["replaced"], 1)

    def test_labels(self):
        self.write_replies(6)
        better = ["tie", "against", "replies", "against", "replies", "replies"]
        self.write("labels.jsonl", [{"id": f"p{i}", "better": one} for i, one in enumerate(better)])
        asked = self.judge("--labels", "labels.jsonl")["comparisons"]
        people = asked[0]["judges"][1]
        self.assertEqual((people["judge"], people["win_rate"]), ("people", (3 + 0.5) / 6))
        self.assertNotIn("marks", people)
        self.assertEqual(self.annotations("--labels", "labels.jsonl"), asked)
        self.judge(replies="old.jsonl", against="new.jsonl")
        self.assertIn("holds 2 comparisons", self.annotations("--labels", "labels.jsonl", status=2))

    def test_labels_of_several_replies_to_a_prompt(self):
        rows = [{"id": "a", "prompt": "p", "text": "*" * k} for k in (0, 1, 2)]
        self.write("new.jsonl", rows)
        self.write("old.jsonl", [row | {"text": "*"} for row in rows])
        self.write("labels.jsonl", [{"id": "a", "better": "tie"}])
        self.assertIn("3 pairs of replies have the id a", self.judge("--labels", "labels.jsonl", status=2))
        self.write("labels.jsonl", [{"id": "a", "index": 2, "better": "replies"}, {"id": "a", "index": 0, "better": "against"}])
        comparison = self.judge("--labels", "labels.jsonl")["comparisons"][0]
        self.assertEqual(comparison["judges"][1]["pairs"], 2)
        self.assertEqual(comparison["agreement"][0]["cohen_kappa"]["value"], 1)
        self.write("labels.jsonl", [{"id": "a", "index": 3, "better": "tie"}])
        self.assertIn("the index 3", self.judge("--labels", "labels.jsonl", status=2))

    def test_a_judge_without_a_verdict_leaves_the_others(self):
        self.write_replies(4)
        self.judge()
        with open(self.folder / "t.jsonl", "a") as file:
            for line in self.lines():
                print(json.dumps(line | {"judge": "mute", "game": line["game"] + "m", "key": line["key"] + "m", "mark": None}), file=file)
        judges = self.annotations()[0]["judges"]
        self.assertEqual(judges[0]["win_rate"], 0.5)
        self.assertEqual(judges[1], {"judge": "mute", "pairs": 4, "left_out": 4, "refused": 0})
        self.assertIn("mute: 4 pairs, 4 of them without a verdict and left out\n    no figures",
                      self.run_it("judge", "--annotations", "t.jsonl"))

    def test_second_turns_are_apart(self):
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        self.write_replies(9, new=lambda i: "*" if i % 3 == 0 else "", old=lambda i: "",
                           prompt=lambda i: [*([] if i % 3 else turns), {"role": "user", "content": str(i)}])
        by_turn = self.judge()["comparisons"][0]["judges"][0]["by_turn"]
        self.assertEqual([(one["turn"], one["pairs"], one["win_rate"]["value"]) for one in by_turn], [(1, 6, 0.5), (2, 3, 1.0)])
        text = self.run_it("judge", "--annotations", "t.jsonl")
        self.assertIn("turn 1", text)

    def test_one_prompt_has_no_interval(self):
        rows = [{"id": "a", "prompt": "p", "text": "*" * k} for k in (0, 1, 2)]
        self.write("new.jsonl", rows)
        self.write("old.jsonl", [row | {"text": "*"} for row in rows])
        self.assertIsNone(self.judge()["comparisons"][0]["judges"][0]["win_rate_clustered95"])
        self.run_it("judge", "--annotations", "t.jsonl")


class Heads(Judged):
    def test_a_head_judges_as_it_scores(self):
        write_pairs(self.folder / "pairs.jsonl", 40)
        make_head(BINARY, MODEL, str(self.folder))
        texts = ["certainly the hen", "no no", "", "the hen and a tree", "no", "certainly"]
        self.write("new.jsonl", [{"id": f"p{i}", "prompt": f"question {i}", "text": text} for i, text in enumerate(texts)])
        self.write("old.jsonl", [{"id": f"p{i}", "prompt": f"question {i}", "text": texts[-1 - i]} for i in range(len(texts))])
        options = ["--judge-head", "h.st", "--judge-head-model", MODEL]
        self.write("labels.jsonl", [{"id": "p0", "better": "tie"}])
        result = self.judge(*options, "--labels", "labels.jsonl")
        self.assertEqual([one["judge"] for one in result["comparisons"][0]["judges"]],
                         [f"{sys.executable} stars.py", "the head h.st", "people"])
        marks = {(line["id"], line["source"]): line["mark"] for line in self.lines() if line["judge"] == "the head h.st"}
        self.assertEqual(len(marks), 2 * len(texts))
        self.write("texts.jsonl", [{"id": f"{i} {source}", "prompt": f"question {i}", "response": text}
                                   for i in range(len(texts)) for source, text in enumerate((texts[i], texts[-1 - i])) if text])
        (self.folder / "scores.jsonl").write_text(self.run_it("score", "--model", MODEL, "--head", "h.st", "--data", "texts.jsonl"))
        for line in self.lines("scores.jsonl"):
            i, source = line["id"].split()
            self.assertEqual(marks[f"p{i}", int(source)], line["score"])
        lowest = min(mark for (i, source), mark in marks.items() if (texts[int(i[1:])] if source == 0 else texts[-1 - int(i[1:])]))
        self.assertEqual(marks["p2", 0], lowest)  # without text
        before = (self.folder / "t.jsonl").read_bytes()
        self.assertEqual(self.judge(*options, "--labels", "labels.jsonl"), result)
        self.assertEqual((self.folder / "t.jsonl").read_bytes(), before)
        self.assertIn("belong together", self.judge("--judge-head", "h.st", status=2))


class Written(Judged):
    def test_replies_are_written_as_generate_does_and_judged(self):
        write_pairs(self.folder / "pairs.jsonl", 40)
        make_head(BINARY, MODEL, str(self.folder))
        self.write("prompts.jsonl", [{"id": f"p{i}", "prompt": f"question {i}"} for i in range(6)])
        (self.folder / "length.py").write_text("import json, sys\nfor line in sys.stdin:\n    print('{\"score\": %d}' % len(json.loads(line)['response']))\n")
        options = ["--model", MODEL, "--data", "prompts.jsonl", "-n", 12, "--temperature", 1, "--seed", 5]

        def judge(*more):
            return json.loads(self.run_it("judge", *options, "--head", "h.st", "--transcript", "t.jsonl", "--judge-command",
                                          f"{sys.executable} length.py", "--json", *more))
        result = judge()
        files = {}
        for kind, head in (("guided", ["--head", "h.st"]), ("unguided", [])):
            (files[kind],) = self.folder.glob(f"t.{kind}-*.jsonl")
            self.run_it("generate", *options, *head, "--out", f"{kind}.jsonl")
            as_generated = [(line["id"], line["text"]) for line in self.lines(f"{kind}.jsonl")]
            self.assertEqual([(line["id"], line["text"]) for line in self.lines(files[kind].name)], as_generated)
        comparison = result["comparisons"][0]
        self.assertEqual((comparison["replies"], comparison["against"]), (files["guided"].name, files["unguided"].name))
        pairs = list(zip(self.lines("guided.jsonl"), self.lines("unguided.jsonl")))
        rate = sum((len(a["text"]) > len(b["text"])) + (len(a["text"]) == len(b["text"])) / 2 for a, b in pairs) / len(pairs)
        self.assertAlmostEqual(comparison["judges"][0]["win_rate"], rate)
        before = {path: path.stat().st_mtime_ns for path in self.folder.glob("t.*")}
        self.assertEqual(judge(), result)  # nothing is written or asked again
        self.assertEqual({path: path.stat().st_mtime_ns for path in self.folder.glob("t.*")}, before)
        judge("--guidance-scale", 3)
        self.assertEqual(len(list(self.folder.glob("t.guided-*"))), 2)
        self.assertEqual(len(list(self.folder.glob("t.unguided-*"))), 1)
        said = self.run_it("judge", *options, "--head", "h.st", "--transcript", "t.jsonl", "--judge-head", "h.st", "--judge-head-model",
                           MODEL, status=2)
        self.assertIn("no judge of it", said)


class Annotations(Judged):
    def table(self, rows, *more, status=0):
        self.write("a.jsonl", rows)
        out = self.run_it("judge", "--annotations", "a.jsonl", "--json", *more, status=status)
        return out if status else json.loads(out)

    def test_arena_hards_own_baseline(self):
        rows = [{"uid": str(i), "model": "m", "category": "hard_prompt", "baseline": f"b{i % 2}",
                 "games": [{"score": "B>A" if i % 2 else "A>B"}, {"score": "A>B" if i % 2 else "B>A"}]} for i in range(8)]
        tables = self.table(rows)["tables"]
        self.assertEqual([(table["baseline"], table["models"][0]["score"]) for table in tables], [("b0", 0.0), ("b1", 1.0)])
        self.assertIn("a.jsonl, line 1: its games are against b0, not x", self.table(rows, "--baseline", "x", status=2))
        bare = [{key: value for key, value in row.items() if key != "baseline"} for row in rows]
        self.assertEqual(self.table(bare)["tables"][0]["baseline"], "o3-mini-2025-01-31")
        self.assertEqual(self.table(bare, "--baseline", "x")["tables"][0]["baseline"], "x")

    def test_mt_benchs_baseline_is_one_of_the_models(self):
        rows = [{"question_id": 81, "model_1": "a", "model_2": "b", "g1_winner": "model_1", "g2_winner": "model_1"}]
        said = self.table(rows, "--baseline", "c", status=2)
        self.assertIn("the baseline c is in no pair", said)
        self.assertIn("a, b", said)

    def test_too_few_rows_have_no_length_controlled_rate(self):
        rows = [{"instruction": f"i{i}", "preference": 1 + i % 2, "output_1": "x" * (i + 1), "output_2": "x" * (i * i)} for i in range(7)]
        for count in (1, 4):
            model = self.table(rows[:count])["models"][0]
            self.assertNotIn("length_controlled_winrate", model)
            self.assertIn("too few", model["not_length_controlled"])
            self.assertIn(f"has no LC: {count} rows are too few", self.run_it("judge", "--annotations", "a.jsonl"))
        self.assertIsNone(self.table(rows[:1])["models"][0]["standard_error"])
        model = self.table(rows)["models"][0]
        self.assertIsNotNone(model["length_controlled_winrate"])
        self.assertIsNone(model["lc_standard_error"], "all predictions are one number")


class Cost(Judged):
    D, LAYERS, HEADS, HEAD, FF, WORDS, EXPERTS, USED = 8, 2, 3, 4, 16, 11, 4, 2

    def model(self, **changes):
        d, heads = self.D, self.HEADS * self.HEAD
        tensors = {"token_embd.weight": [d, self.WORDS], "output_norm.weight": [d]}
        for k in range(self.LAYERS):
            tensors |= {f"blk.{k}.attn_norm.weight": [d], f"blk.{k}.attn_q.weight": [d, heads], f"blk.{k}.attn_k.weight": [d, heads],
                        f"blk.{k}.attn_v.weight": [d, heads], f"blk.{k}.attn_output.weight": [heads, d], f"blk.{k}.attn_q.bias": [heads],
                        f"blk.{k}.ffn_gate_inp.weight": [d, self.EXPERTS], f"blk.{k}.ffn_up_exps.weight": [d, self.FF, self.EXPERTS],
                        f"blk.{k}.ffn_down_exps.weight": [self.FF, d, self.EXPERTS], f"blk.{k}.ffn_up_shexp.weight": [d, self.FF]}
        values = {"general.architecture": (gguf.STRING, "qwen3moe"), "general.type": (gguf.STRING, "model"),
                  "qwen3moe.block_count": (gguf.UINT32, self.LAYERS), "qwen3moe.embedding_length": (gguf.UINT32, d),
                  "qwen3moe.context_length": (gguf.UINT32, 64), "qwen3moe.expert_count": (gguf.UINT32, self.EXPERTS),
                  "qwen3moe.expert_used_count": (gguf.UINT32, self.USED), "qwen3moe.attention.head_count": (gguf.UINT32, self.HEADS),
                  "tokenizer.ggml.model": (gguf.STRING, "llama"),
                  "tokenizer.ggml.tokens": (gguf.ARRAY, (gguf.STRING, [f"t{i}" for i in range(self.WORDS)]))} | changes
        count = lambda shape: shape[0] * (shape[1] if len(shape) > 1 else 1) * (shape[2] if len(shape) > 2 else 1)  # noqa: E731
        gguf.write(self.folder / "m.gguf", values, {name: gguf.floats(shape, [0.0] * count(shape)) for name, shape in tensors.items()})

    def test_counts_the_experts_that_are_used(self):
        for more in ({}, {"qwen3moe.attention.key_length": (gguf.UINT32, self.HEAD), "qwen3moe.attention.value_length": (gguf.UINT32, self.HEAD)}):
            self.model(**more)
            out = json.loads(self.run_it("cost", "--model", "m.gguf", "--pairs", 1e6, "--tokens", "0,1,0", "--json"))
            heads = self.HEADS * self.HEAD
            layer = 4 * self.D * heads + self.D * self.EXPERTS + self.USED * 2 * self.D * self.FF + self.D * self.FF
            # One token: all weights twice, and its two products of attention with itself.
            flops = 2 * self.LAYERS * layer + 4 * self.LAYERS * heads
            self.assertAlmostEqual(out["rows"][0]["counted"]["coala"] * 1e12 / 1e6, flops)
            # SFT, forward and backward, with the output matrix: the embedding.
            self.assertAlmostEqual(out["rows"][0]["counted"]["sft"] * 1e12 / 1e6, 2 * (flops + 2 * self.D * self.WORDS))

    def test_refuses_what_is_no_model(self):
        for kind in ("adapter", "mmproj"):
            self.model(**{"general.type": (gguf.STRING, kind)})
            self.assertIn("not a language model", self.run_it("cost", "--model", "m.gguf", "--pairs", 10, status=2))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
