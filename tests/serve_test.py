#!/usr/bin/env python3
"""`coala serve`, asked as clients of OpenAI's API ask: what it answers is what `coala generate` writes with the same
seed, whole or as a stream, alone or beside others; what is wrong with a request is said and ends nothing else.
Usage: serve_test.py BINARY MODEL.gguf"""

import collections
import concurrent.futures
import gzip
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True

from coala_server import QUESTION, TOKENS, Server, align  # noqa: E402


def text_of(answer, choice=0):
    return answer["choices"][choice]["message"]["content"]


class Serve(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="coala-serve-")
        cls.head = align(BINARY, MODEL, cls.folder, "hens")
        cls.server = Server(BINARY, MODEL, "--head", cls.head, "--head",
                            align(BINARY, MODEL, cls.folder, "more", seed=1))

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        shutil.rmtree(cls.folder)

    def written(self, *arguments, seed=5):
        """By `coala generate`."""
        said = subprocess.run([BINARY, "generate", "--model", MODEL, "--prompt", QUESTION, "--max-tokens", str(TOKENS),
                               "--seed", str(seed), "--quiet", *arguments], capture_output=True, text=True, check=True)
        return json.loads(said.stdout)["text"]

    def test_models_and_health(self):
        models = self.server.json("/v1/models")
        self.assertEqual([one["id"] for one in models["data"]], ["tiny-llama", "tiny-llama+hens", "tiny-llama+more"])
        self.assertGreater(models["data"][0]["meta"]["n_ctx_train"], 0)
        self.assertEqual(self.server.json("/health")["status"], "ok")
        one = self.server.json("/v1/models/base%2Bhens")
        self.assertEqual(one, models["data"][1])
        self.assertTrue(one["head"]["guides"])
        self.assertEqual(one["head"]["pooling"], "mean")
        for nobody in ("none", "", "none/at/all", "tiny-llama+none", "base%2Bnone"):
            error = self.server.json("/v1/models/" + nobody, status=404)["error"]
            self.assertEqual((error["code"], error["param"]), ("model_not_found", "model"))
        props = self.server.json("/props")
        self.assertEqual(props["total_slots"], 4)
        self.assertEqual(set(props["heads"]), {"hens", "more"})

    def test_heads_say_how_good_they_are(self):
        """By the files that align left beside them, read once; those of another head are not taken for theirs."""
        folder = os.path.join(self.folder, "hens")
        with open(os.path.join(folder, "metrics.json"), encoding="utf-8") as file:
            metrics = json.load(file)
        with open(os.path.join(folder, "report.html"), encoding="utf-8", newline="") as file:
            report = file.read()
        card = self.server.json("/v1/models/base%2Bhens")["head"]
        found = card["held_out"]
        self.assertEqual((found["rows"], found["prompts"]), (metrics["eval_rows"], metrics["eval_prompts"]))
        for one, key in ((found["accuracy"], "eval_rewards/accuracies"),
                         (found["baselines"]["logistic"], "baseline/logistic_accuracy"),
                         (found["baselines"]["length"], "baseline/length_accuracy")):
            self.assertEqual([one["value"], one["low"], one["high"]], [metrics[key], *metrics[key + "_ci95"]])
        self.assertTrue(card["report"])
        self.assertEqual(self.server.json("/report", status=400)["error"]["param"], "head")  # there are two
        status, text, headers = self.server.answer("/report?head=hens")
        self.assertEqual((status, text, headers["Content-Type"]), (200, report, "text/html; charset=utf-8"))
        self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
        for path in ("../hens/report.html", "/etc/passwd", "nobody"):
            self.assertEqual(self.server.ask(f"/report?head={path}")[0], 404)
        other = os.path.join(self.folder, "other")
        shutil.copytree(folder, other)
        shutil.copy(os.path.join(self.folder, "more", "head.safetensors"), other)
        for arguments, expected in (((), None), (("--head-report", os.path.join(folder, "report.html")), report)):
            server = Server(BINARY, MODEL, "--head", os.path.join(other, "head.safetensors"), *arguments)
            self.assertIsNone(server.json("/v1/models/base%2Bother")["head"]["held_out"])
            status, text = server.ask("/report")
            self.assertEqual((status, text if expected else None), (200 if expected else 404, expected))
            server.stop()
        for arguments in (("--head-report", os.path.join(folder, "report.html")),
                          ("--head", self.head, "--head-report", os.path.join(folder, "metrics.json"))):
            done = subprocess.run([BINARY, "serve", "--model", MODEL, "--port", "0", *arguments], capture_output=True,
                                  text=True, check=False, timeout=60)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("report", done.stderr)

    def test_base_is_the_model_as_it_is(self):
        self.assertEqual(text_of(self.server.chat(model="base")), self.written())
        named = self.server.chat(model="base+hens", guidance_scale=2)
        self.assertEqual(named["model"], "tiny-llama+hens")
        self.assertEqual(text_of(named), text_of(self.server.chat(heads={"hens": 2})))

    def test_tokens(self):
        text = "the hen, and <s> the inn"
        answer = self.server.json("/tokenize", {"content": text, "parse_special": False})
        self.assertEqual(answer["count"], len(answer["tokens"]))
        self.assertEqual(self.server.json("/detokenize", {"tokens": answer["tokens"]})["content"], text)
        pieces = self.server.json("/tokenize", {"content": text, "with_pieces": True, "parse_special": False})["tokens"]
        self.assertEqual([piece["id"] for piece in pieces], answer["tokens"])
        chat = self.server.json("/tokenize", {"messages": [{"role": "user", "content": QUESTION}]})
        self.assertEqual(chat["count"], self.server.chat()["usage"]["prompt_tokens"])
        self.server.json("/detokenize", {"tokens": [999_999]}, 400)

    def test_parameters(self):
        """What asks for nothing is accepted; what cannot be had is refused by its name; the unknown is ignored and
        named, or refused with --strict-parameters."""
        neutral = {"n": 1, "tools": [], "tool_choice": "none", "functions": None, "logprobs": False, "top_logprobs": 0,
                   "response_format": {"type": "text"}, "store": True, "metadata": {"a": "b"}, "user": "me",
                   "service_tier": "auto", "parallel_tool_calls": True, "stream_options": None, "modalities": ["text"],
                   "prediction": None, "audio": None, "logit_bias": {}, "stop": None, "seed": 5, "verbosity": "medium",
                   "presence_penalty": 0, "top_p": None, "guidance": "token"}
        self.assertNotIn("warnings", self.server.chat(**neutral))
        for field, value in (("tools", [{"type": "function"}]), ("logprobs", 3), ("top_logprobs", 99),
                             ("top_logprobs", 2), ("tool_choice", "required"), ("response_format", {"type": "json_object"}),
                             ("response_format", {"type": "json_schema", "json_schema": {"name": "x"}}),
                             ("modalities", ["audio"]), ("reasoning_effort", "high"), ("guidance", "branch"),
                             ("guide_every", 4), ("num_candidates", 8), ("prediction", {"type": "content"}),
                             ("max_tokens", 10**5), ("temperature", 3), ("top_p", "x"), ("best_of", 3)):
            if field == "best_of":
                error = self.server.json("/v1/completions", {"prompt": "x", field: value}, 400)["error"]
            else:
                error = self.server.chat(400, **{field: value})["error"]
            self.assertEqual(error["param"].split("[")[0], field)
            self.assertIn(error["code"], ("unsupported_parameter", "invalid_value"))
            self.assertEqual(set(error), {"message", "type", "param", "code"})
        answer = self.server.chat(num_ctx=4096, messages=[{"role": "user", "content": QUESTION, "extra": 1}])
        self.assertEqual(text_of(answer), self.written())
        self.assertEqual([word in "".join(answer["warnings"]) for word in ("num_ctx", "messages[0].extra")], [True] * 2)
        answer = self.server.chat(stream_options={"include_usage": True, "chunks": 1}, top_logprobs=2, logprobs=True)
        self.assertEqual(answer["warnings"], ["unknown parameter \"stream_options.chunks\" was ignored"])
        for kind in ("image_url", "refusal", "input_audio"):
            parts = [{"type": "text", "text": "x"}, {"type": kind, kind: "x"}]
            error = self.server.chat(400, messages=[{"role": "user", "content": parts}])["error"]
            self.assertEqual(error["param"], "messages[0].content[1].type")
            self.assertIn(kind, error["message"])
        last = self.server.stream(num_ctx=1)[-1]
        self.assertIn("num_ctx", last["warnings"][0])
        strict = Server(BINARY, MODEL, "--strict-parameters")
        error = strict.chat(400, num_ctx=4096)["error"]
        self.assertEqual((error["param"], error["code"]), ("num_ctx", "unknown_parameter"))
        strict.chat(**neutral)
        strict.stop()

    def test_messages(self):
        plain = text_of(self.server.chat())
        parts = [{"type": "text", "text": QUESTION[:5]}, {"type": "text", "text": QUESTION[5:]}]
        self.assertEqual(text_of(self.server.chat(messages=[{"role": "user", "content": parts}])), plain)
        both = [text_of(self.server.chat(messages=[{"role": role, "content": "be kind"},
                                                   {"role": "user", "content": QUESTION}]))
                for role in ("system", "developer")]
        self.assertEqual(both[0], both[1])
        trailing = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ""}]
        self.assertEqual(text_of(self.server.chat(messages=trailing)), plain)
        self.assertEqual(text_of(self.server.chat(max_tokens=3, max_completion_tokens=TOKENS)), plain)
        error = self.server.chat(400, messages=[{"role": "user", "content": "x"}, {"role": "tool", "content": "x"}])
        self.assertEqual(error["error"]["param"], "messages[1].role")

    def test_a_prompt_that_does_not_fit(self):
        for stream in (False, True):
            error = self.server.chat(400, messages=[{"role": "user", "content": "hen " * 20_000}], stream=stream)["error"]
            self.assertEqual(error["code"], "context_length_exceeded")
            self.assertGreater(error["n_prompt_tokens"], error["n_ctx"])
            self.assertIn(str(error["n_prompt_tokens"]), error["message"])
            # The model's context is smaller than the cache, which is for several replies.
            card = self.server.json("/v1/models")["data"][0]
            self.assertLess(card["meta"]["n_ctx_train"], 8192)
            self.assertEqual({card["meta"]["n_ctx"], card["limits"]["max_prompt_tokens"], error["n_ctx"]},
                             {card["meta"]["n_ctx_train"]})

    def test_answers_are_what_generate_writes(self):
        answer = self.server.chat()
        self.assertEqual(text_of(answer), self.written())
        self.assertEqual(answer["object"], "chat.completion")
        self.assertIn(answer["choices"][0]["finish_reason"], ("stop", "length"))
        usage = answer["usage"]
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])
        guided = self.written("--head", self.head, "--guidance", "token", "--guidance-scale", "2")
        self.assertNotEqual(guided, self.written())
        for fields in ({"model": "tiny-llama+hens", "guidance_scale": 2}, {"heads": {"hens": 2}},
                       {"heads": {"hens": 1}, "guidance_scale": 2}, {"heads": {"hens": 2, "more": 0}}):
            answer = self.server.chat(**fields)
            self.assertEqual(text_of(answer), guided, fields)
            self.assertEqual(answer["coala"]["heads"], {"hens": 2.0})
        both = text_of(self.server.chat(heads={"hens": 2, "more": 4}))
        self.assertNotIn(both, (guided, self.written()))
        self.assertEqual(text_of(self.server.chat(temperature=0)), self.written("--temperature", "0"))
        self.assertEqual(text_of(self.server.chat(stop=["e"])), self.written("--stop", "e"))

    def test_a_seed_that_was_drawn_is_told(self):
        body = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": TOKENS}
        answer = self.server.json("/v1/chat/completions", body)
        self.assertEqual(text_of(self.server.chat(seed=answer["coala"]["seed"])), text_of(answer))

    def test_streams_have_the_same_text(self):
        for fields in ({}, {"heads": {"hens": 2}}, {"stop": ["e", "th"]}, {"n": 3}):
            whole = self.server.chat(**fields)
            chunks = self.server.stream(stream_options={"include_usage": True}, **fields)
            for choice in range(fields.get("n", 1)):
                mine = [one["choices"][0] for one in chunks[:-1] if one["choices"][0]["index"] == choice]
                self.assertEqual(mine[0]["delta"]["role"], "assistant")
                self.assertEqual("".join(one["delta"].get("content", "") for one in mine), text_of(whole, choice))
                self.assertEqual(mine[-1]["finish_reason"], whole["choices"][choice]["finish_reason"])
            self.assertEqual(chunks[-2]["coala"], whole["coala"])
            self.assertEqual(chunks[-1]["choices"], [])
            self.assertEqual(chunks[-1]["usage"], whole["usage"])
            self.assertTrue(all("finish_reason" in one["choices"][0] for one in chunks[:-1]))
            self.assertEqual(len({one["id"] for one in chunks}), 1)

    def test_many_at_once_are_as_alone(self):
        asked = [{"seed": seed, "heads": {"hens": seed % 3}, "max_tokens": 5 + seed} for seed in range(24)]
        alone = [text_of(self.server.chat(**fields)) for fields in asked]
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            together = list(pool.map(lambda fields: text_of(self.server.chat(**fields)), asked))
        self.assertEqual(together, alone)

    def test_completions(self):
        body = {"prompt": ["the hen", "a tree"], "max_tokens": 8, "seed": 1, "n": 2}
        answer = self.server.json("/v1/completions", body)
        self.assertEqual([one["index"] for one in answer["choices"]], [0, 1, 2, 3])
        self.assertEqual(answer["object"], "text_completion")
        again = self.server.json("/v1/completions", {**body, "prompt": "a tree"})
        self.assertEqual([one["text"] for one in again["choices"]], [one["text"] for one in answer["choices"][2:]])
        chunks = self.server.stream("/v1/completions", prompt="a tree", messages=None, max_tokens=8, seed=1)
        self.assertEqual("".join(one["choices"][0]["text"] for one in chunks), again["choices"][0]["text"])

    def test_what_is_wrong_is_said_and_ends_nothing_else(self):
        chat = "/v1/chat/completions"
        message = [{"role": "user", "content": "x"}]
        wrong = [("", 400), ("{", 400), ("[1]", 400), (b'{"messages": "\xff"}', 400), ("[" * 100_000, 400), ({}, 400),
                 ({"messages": []}, 400), ({"messages": [{"role": "cook", "content": "x"}]}, 400),
                 ({"messages": [{"role": "user"}]}, 400), ({"messages": [7]}, 400),
                 ({"messages": [{"role": None, "content": "x"}]}, 400),
                 ({"messages": [{"role": "user", "content": [{"type": "text", "text": None}]}]}, 400),
                 ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, 400),
                 ({"messages": message, "temperature": "hot"}, 400), ({"messages": message, "temperature": -1}, 400),
                 ({"messages": message, "top_p": 2}, 400), ({"messages": message, "n": 0}, 400),
                 ({"messages": message, "n": 1e300}, 400), ({"messages": message, "max_tokens": 0}, 400),
                 ({"messages": message, "max_tokens": 2**63}, 400), ({"messages": message, "seed": "1"}, 400),
                 ({"messages": message, "stop": [""]}, 400), ({"messages": message, "stop": 7}, 400),
                 ({"messages": message, "logit_bias": {"999999": 1}}, 400), ({"messages": message, "stream": 1}, 400),
                 ({"messages": message, "logit_bias": {"-1": 1}}, 400), ({"messages": message, "top_logprobs": 99}, 400),
                 ({"messages": message, "tools": [{}]}, 400), ({"messages": message, "heads": {"none": 1}}, 404),
                 ({"messages": message, "response_format": {"type": "json_object"}}, 400),
                 ({"messages": message, "guidance_scale": 1e9}, 400), ({"messages": message, "model": "gpt-4"}, 404),
                 ({"messages": [{"role": "user", "content": "x" * 100_000}]}, 400),
                 ({"messages": [{"role": "user", "content": "x" * 100_000}], "stream": True}, 400),
                 ({"messages": message, "grammar": "root ::= x"}, 400), ({"messages": message, "min_tokens": 3}, 400)]
        deep = "[" * 100_000 + "]" * 100_000
        wrong += [(f'{{"{name}": {deep}}}', 400) for name in ("temperature", "prompt", "stop", "messages")]
        for fields in ({"tool_choice": "auto"}, {"n": 1.0}, {"tools": []}, {"user": "me"}):
            self.server.chat(**fields)
        for body, status in wrong:
            got, text = self.server.ask(chat, body)
            self.assertEqual(got, status, (body if len(str(body)) < 200 else "...", text))
            self.assertTrue(json.loads(text)["error"]["message"])
        for path, method, status in (("/v1/nothing", "GET", 404), ("/v1/chat/completions", "GET", 405),
                                     ("/v1/models", "DELETE", 405), ("/health", "POST", 405)):
            self.assertEqual(self.server.ask(path, method=method)[0], status)
        self.assertEqual(self.server.ask(chat, b"x" * (9 << 20))[0], 413)
        self.assertEqual(self.server.ask(chat, b"no gzip", {"Content-Encoding": "gzip"})[0], 400)
        # A range would come back as often as it is asked for, under a status that promises the whole.
        whole = self.server.ask("/chat.js")[1]
        self.assertEqual(self.server.ask("/chat.js", headers={"Range": "bytes=" + ",".join(["-"] * 1000)}), (200, whole))
        packed = gzip.compress(b" " * (50 << 20))
        self.assertEqual(self.server.ask(chat, packed, {"Content-Encoding": "gzip"})[0], 413)
        self.assertEqual(self.server.ask("/v1/other", b"x")[0], 404)
        # As curl sends it.
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        body = json.dumps({"messages": message, "max_tokens": 3, "user": "x" * 20_000})
        self.assertEqual(self.server.ask(chat, body, form)[0], 200)
        self.assertEqual(text_of(self.server.chat()), self.written())

    def test_a_client_that_leaves_frees_its_place(self):
        body = json.dumps({"messages": [{"role": "user", "content": "x"}], "max_tokens": 200, "stream": True, "n": 4,
                           "temperature": 1.5, "top_p": 1, "top_k": 0})
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", self.server.port)) as client:
                client.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
                               f"{body}".encode())
                client.recv(100)
        for _ in range(100):
            health = self.server.json("/health")
            if health["writing"] == 0 and health["waiting"] == 0:
                break
            time.sleep(0.1)
        self.assertEqual((health["writing"], health["waiting"]), (0, 0))

    def test_the_only_head_guides_and_a_key_is_asked_for(self):
        server = Server(BINARY, MODEL, "--head", self.head, "--max-tokens", "9", key="secret")
        body = {"messages": [{"role": "user", "content": QUESTION}], "seed": 5}
        self.assertEqual(server.ask("/v1/chat/completions", body)[0], 401)
        self.assertEqual(server.ask("/health")[0], 200)
        status, text = server.ask("/v1/chat/completions", body, {"Authorization": "Bearer secret"})
        self.assertEqual(status, 200)
        answer = json.loads(text)
        self.assertEqual(answer["model"], "tiny-llama+hens")
        self.assertLessEqual(answer["usage"]["completion_tokens"], 9)
        server.stop()

    def test_a_queue_that_is_full_and_the_end(self):
        """Those beyond the queue are refused at once, health answers meanwhile, and a stop ends what is written."""
        server = Server(BINARY, MODEL, "--parallel", "1", "--queue", "2", "--max-tokens", "240", "--threads", "1")
        body = {"prompt": "x", "max_tokens": 240, "stream": True, "temperature": 1.5, "top_p": 1, "top_k": 0, "n": 2}

        retry_after = []

        def ask():
            try:
                status, _, headers = server.answer("/v1/completions", body)
                if status == 429:
                    retry_after.append(headers["Retry-After"])
                return status
            except (OSError, http.client.HTTPException):
                return "cut off"

        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            streams = [pool.submit(ask) for _ in range(40)]
            until = time.monotonic() + 20
            while len(retry_after) <= 5 and time.monotonic() < until:
                time.sleep(0.01)
            start = time.monotonic()
            self.assertEqual(server.ask("/health")[0], 200)
            self.assertLess(time.monotonic() - start, 5)
            self.assertEqual(server.ask("/v1/completions", {**body, "n": 3})[0], 400)  # never fits into the queue
            status, seconds = server.stop()
            statuses = collections.Counter(stream.result() for stream in streams)
        self.assertGreater(statuses[429], 5, statuses)
        self.assertEqual(set(retry_after), {"1"})
        self.assertEqual(status, 130)
        self.assertLess(seconds, 10)

    def test_a_time_limit(self):
        """A request that takes longer than it may ends with a status, a stream with an event; others go on."""
        server = Server(BINARY, MODEL, "--time-limit", "1", "--parallel", "1", "--threads", "1", "--queue", "1024")
        body = {"prompt": "x", "max_tokens": 250, "n": 8, "temperature": 1.5, "top_p": 1, "top_k": 0}
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            answers = list(pool.map(lambda i: server.ask("/v1/completions", {**body, "stream": i % 2 == 0}), range(64)))
        late = [text for status, text in answers if status == 504]
        cut = [text for status, text in answers if status == 200 and '"code":"time_limit"' in text]
        self.assertTrue(late and cut, collections.Counter(status for status, _ in answers))
        self.assertTrue(all(text.endswith("data: [DONE]\n\n") for text in cut))
        self.assertEqual(server.json("/health")["status"], "ok")
        server.stop()

    def test_metrics_add_up(self):
        before = self.server.metrics()
        usage = [self.server.chat(seed=seed)["usage"] for seed in range(3)]
        self.server.chat(400, n=0)
        after = self.server.metrics()

        def gained(name):
            return after[name] - before.get(name, 0)

        self.assertEqual(gained("coala_prompt_tokens_total"), sum(one["prompt_tokens"] for one in usage))
        self.assertEqual(gained("coala_reply_tokens_total"), sum(one["completion_tokens"] for one in usage))
        chat = 'coala_requests_total{endpoint="/v1/chat/completions",status="%d"}'
        self.assertEqual((gained(chat % 200), gained(chat % 400)), (3, 1))
        self.assertGreaterEqual(gained("coala_steps_total"), max(one["completion_tokens"] for one in usage))
        self.assertEqual(gained("coala_first_token_seconds_count"), 3)
        buckets = [value for name, value in after.items() if name.startswith("coala_token_seconds_bucket")]
        self.assertEqual(buckets, sorted(buckets))
        self.assertEqual(buckets[-1], after["coala_token_seconds_count"])

    def test_a_port_that_is_taken(self):
        result = subprocess.run([BINARY, "serve", "--model", MODEL, "--port", str(self.server.port)],
                                capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot listen", result.stderr)


if __name__ == "__main__":
    BINARY, MODEL = sys.argv.pop(1), sys.argv.pop(1)
    unittest.main()
