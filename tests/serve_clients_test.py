#!/usr/bin/env python3
"""Clients of `coala serve` that others wrote: the official `openai` package, at once, asynchronous and streaming. Skips
where it is not installed. Usage: serve_clients_test.py BINARY MODEL.gguf"""

import asyncio
import shutil
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

from coala_server import QUESTION, Server, align  # noqa: E402

try:
    import openai
except ImportError:
    print("the package openai is not installed: skipped")
    sys.exit(77)

MESSAGES = [{"role": "user", "content": QUESTION}]


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


if __name__ == "__main__":
    BINARY, MODEL = sys.argv.pop(1), sys.argv.pop(1)
    unittest.main()
