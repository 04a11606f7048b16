#!/usr/bin/env python3
"""Clients of `coala serve` that others wrote: the official `openai` package and LangChain's, at once, asynchronous and
streaming; schemathesis, which makes requests and checks answers by /openapi.json; OpenRLHF's reward call. And a reader
of server-sent events that knows nothing but `data:`. Skips what is not installed.
Usage: serve_clients_test.py BINARY MODEL.gguf"""

import asyncio
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

from coala_server import QUESTION, Server, align, start, stop  # noqa: E402

try:
    import openai
except ImportError:
    print("the package openai is not installed: skipped")
    sys.exit(77)

MESSAGES = [{"role": "user", "content": QUESTION}]


def needs(package):
    there = importlib.util.find_spec(package) is not None
    return unittest.skipUnless(there, f"the package {package} is not installed")


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="coala-serve-")
        cls.server = Server(BINARY, MODEL, "--head", align(BINARY, MODEL, cls.folder, "hens"), key="secret")
        cls.url = f"http://127.0.0.1:{cls.server.port}/v1"
        cls.client = openai.OpenAI(base_url=cls.url, api_key="secret", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.stop()
        shutil.rmtree(cls.folder)

    def test_at_once_and_streaming(self):
        self.assertEqual([one.id for one in self.client.models.list()], ["tiny-llama", "tiny-llama+hens"])
        self.assertEqual(self.client.models.retrieve("tiny-llama+hens").id, "tiny-llama+hens")
        for model in ("base", "base+hens"):
            asked = {"model": model, "messages": MESSAGES, "max_completion_tokens": 20, "seed": 3}
            whole = self.client.chat.completions.create(**asked)
            self.assertEqual(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens)
            chunks = list(self.client.chat.completions.create(**asked, stream=True,
                                                              stream_options={"include_usage": True}))
            self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            self.assertEqual(text, whole.choices[0].message.content)
            self.assertEqual(chunks[-1].usage, whole.usage)
        guided = self.client.chat.completions.create(**asked, extra_body={"guidance_scale": 2, "heads": {"hens": 1}})
        self.assertEqual(guided.coala["heads"], {"hens": 2.0})
        completion = self.client.completions.create(model="base", prompt=["the hen", "a tree"], max_tokens=5, seed=1)
        self.assertEqual(len(completion.choices), 2)

    def test_errors_have_their_classes(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.chat.completions.create(model="gpt-4", messages=MESSAGES)
        self.assertEqual((caught.exception.code, caught.exception.param), ("model_not_found", "model"))
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model="base", messages=MESSAGES, tools=[
                {"type": "function", "function": {"name": "f", "parameters": {}}}])
        self.assertEqual(caught.exception.param, "tools")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model="base", messages=[{"role": "user", "content": "x " * 20_000}],
                                                stream=True)
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        self.assertTrue(caught.exception.request_id)
        with self.assertRaises(openai.AuthenticationError):
            openai.OpenAI(base_url=self.url, api_key="wrong", max_retries=0).models.list()

    def test_asynchronous(self):
        async def ask():
            async with openai.AsyncOpenAI(base_url=self.url, api_key="secret", max_retries=0) as client:
                async def one(seed):
                    text = ""
                    async for chunk in await client.chat.completions.create(
                            model="base", messages=MESSAGES, max_tokens=20, seed=seed, stream=True):
                        text += chunk.choices[0].delta.content or ""
                    return text
                streamed = await asyncio.gather(*(one(seed) for seed in range(8)))
                whole = await asyncio.gather(*(client.chat.completions.create(
                    model="base", messages=MESSAGES, max_tokens=20, seed=seed) for seed in range(8)))
                return streamed, [answer.choices[0].message.content for answer in whole]

        streamed, whole = asyncio.run(ask())
        self.assertEqual(streamed, whole)

    @needs("langchain_openai")
    def test_langchain(self):
        from langchain_openai import ChatOpenAI

        for model in ("base", "base+hens"):
            settings = {"model": model, "seed": 3, "temperature": 0.7, "max_tokens": 20}
            expected = self.client.chat.completions.create(messages=MESSAGES, **settings).choices[0].message.content
            client = ChatOpenAI(base_url=self.url, api_key="secret", max_retries=0, **settings)
            whole = client.invoke([("user", QUESTION)])
            self.assertEqual(whole.content, expected)
            self.assertGreater(whole.usage_metadata["output_tokens"], 0)
            self.assertIn(whole.response_metadata["finish_reason"], ("stop", "length"))
            self.assertEqual("".join(chunk.content for chunk in client.stream([("user", QUESTION)])), expected)

            async def ask(client=client):
                text = ""
                async for chunk in client.astream([("user", QUESTION)]):
                    text += chunk.content
                return text, [one.content for one in await client.abatch([[("user", QUESTION)]] * 3)]

            self.assertEqual(asyncio.run(ask()), (expected, [expected] * 3))
        client = ChatOpenAI(base_url=self.url, api_key="secret", max_retries=0, model="base")
        with self.assertRaises(openai.BadRequestError) as caught:
            client.bind_tools([{"type": "function", "function": {"name": "f", "parameters": {}}}]).invoke("x")
        self.assertEqual(caught.exception.param, "tools")


class Readers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        start(cls, BINARY, MODEL)

    @classmethod
    def tearDownClass(cls):
        stop(cls)

    def pieces(self, path, body):
        """The chunks of the transfer, as they come."""
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        got = self.server.raw(head.encode() + data, patience=30)
        lines, _, rest = got.partition(b"\r\n\r\n")
        self.assertEqual(lines.split(b"\r\n")[0], b"HTTP/1.1 200 OK")
        self.assertIn(b"content-type: text/event-stream", lines.lower())
        self.assertIn(b"transfer-encoding: chunked", lines.lower())
        pieces = []
        while True:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            self.assertEqual(rest[length:length + 2], b"\r\n")
            if length == 0:
                self.assertEqual(rest, b"\r\n")
                return pieces
            pieces.append(rest[:length])
            rest = rest[length + 2:]

    def test_not_a_byte_outside_of_data(self):
        for path, body in (("/v1/chat/completions", {"messages": MESSAGES, "n": 2, "logprobs": True}),
                           ("/v1/completions", {"prompt": ["the hen", "ü \u2028 \r\n"], "unknown": 1}),
                           ("/v1/chat/completions", {"messages": MESSAGES, "guidance": "best-of-n"})):
            pieces = self.pieces(path, {**body, "stream": True, "max_tokens": 20, "seed": 3,
                                        "stream_options": {"include_usage": True}})
            for piece in pieces:
                self.assertRegex(piece, rb"\A(data: [^\r\n]+\n\n)+\Z")  # whole events
            events = re.findall(rb"data: ([^\r\n]+)\n\n", b"".join(pieces))
            self.assertEqual(events.count(b"[DONE]"), 1)
            self.assertEqual(events[-1], b"[DONE]")
            chunks = [json.loads(event.decode("utf-8")) for event in events[:-1]]
            self.assertEqual(len({chunk["id"] for chunk in chunks}), 1)
            self.assertEqual((chunks[-1]["choices"], chunks[-1]["usage"]["prompt_tokens"] > 0), ([], True))
            for choice in {chunk["choices"][0]["index"] for chunk in chunks[:-1]}:
                own = [one["choices"][0] for one in chunks[:-1] if one["choices"][0]["index"] == choice]
                self.assertEqual([one["finish_reason"] is None for one in own], [True] * (len(own) - 1) + [False])

    @needs("aiohttp")
    def test_openrlhfs_reward_call(self):
        """As SingleTurnAgentExecutor of its openrlhf/utils/agent.py asks (3c3be62): one text with its special tokens in
        lists of one; what it reads becomes tensors, for which numbers are needed, one for each name."""
        import aiohttp

        expected = self.server.json("/v1/score", {"text_1": QUESTION, "text_2": ["a hen", "a tree"]})["data"]
        rendered = self.server.json("/detokenize", {"tokens": self.server.json("/tokenize", {"messages": MESSAGES})["tokens"]})

        async def ask():
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=180)) as session:
                async def reward(response, label):
                    asked = {"query": [rendered["content"] + response], "prompts": [rendered["content"]], "labels": [label]}
                    async with session.post(f"http://127.0.0.1:{self.server.port}/get_reward", json=asked) as answer:
                        answer.raise_for_status()
                        return await answer.json()
                return await asyncio.gather(reward("a hen", "?"), reward("a tree", None), reward("a hen</s>", "?"))

        answers = asyncio.run(ask())
        for answer, one in zip(answers, (expected[0], expected[1], expected[0])):
            for value in (answer["rewards"], answer["scores"]):
                self.assertEqual(value, [one["score"]])
            for values in answer["extra_logs"].values():
                self.assertEqual([type(value) for value in values], [int])

    @needs("schemathesis")
    def test_schemathesis(self):
        """No 5xx; statuses, types and answers are those of the description."""
        server = Server(BINARY, MODEL, "--head", self.head, "--teach", os.path.join(self.folder, "lessons.jsonl"),
                        "--max-tokens", "16")
        self.addCleanup(server.stop)
        server.json("/v1/feedback", {"messages": MESSAGES, "chosen": "a hen", "rejected": "a tree"})
        checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
        said = subprocess.run([sys.executable, "-m", "schemathesis.cli", "run",
                               f"http://127.0.0.1:{server.port}/openapi.json", "--checks", checks, "--max-examples", "15",
                               "--phases", "fuzzing", "--generation-deterministic", "--request-timeout", "20",
                               "--suppress-health-check", "all", "--no-color",
                               "--exclude-path", "/v1/feedback/model"],  # a whole model, each time
                              cwd=self.folder, capture_output=True, text=True, timeout=300)
        self.assertEqual(said.returncode, 0, said.stdout[-6000:] + said.stderr[-2000:])
        self.assertIn("passed", said.stdout)
        self.assertEqual(server.rested()["writing"], 0)


if __name__ == "__main__":
    BINARY, MODEL = sys.argv.pop(1), sys.argv.pop(1)
    unittest.main()
