#!/usr/bin/env python3
r"""A judge for `coala eval --generate --judge-command`: asks an OpenAI-compatible server for a mark from 1 to 10.

    coala eval --generate ... --judge-command \
        "python3 tools/endpoint_judge.py --url http://127.0.0.1:8080/v1 --model NAME"

Reads {"prompt": text or messages, "response": text} a line, writes {"score": 0 to 1} a line, in the same order, once
all are known. The key, where the server wants one, is taken from the environment variable COALA_JUDGE_KEY and appears
nowhere.
Ends with status 1 and one message when the server cannot be reached, keeps failing, or answers without a mark.
"""

import argparse
import concurrent.futures
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request

INSTRUCTION = ("You mark replies to a user. Consider whether the reply does what was asked, is right, is clear, and "
               "suits the user's situation. Length by itself is no merit. Answer with one whole number from 1 (useless) "
               "to 10 (could not be better) and nothing else.")
PASSING = {408, 409, 425, 429, 500, 502, 503, 504}  # what may be over the next time
LONGEST_WAIT_S = 30


class JudgeError(Exception):
    """The judge cannot answer."""


def as_text(prompt):
    if isinstance(prompt, str):
        return prompt
    return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in prompt)


def mark_in(answer):
    """The mark as 0 to 1. A fraction such as 7/10 names it first."""
    found = re.search(r"(?<![\d.])(10|[1-9])(?![\d]|\.\d)", answer)
    if found is None:
        raise JudgeError(f"no mark from 1 to 10 in the answer {answer[:200]!r}")
    return (int(found.group(1)) - 1) / 9


class Server:
    def __init__(self, options, key):
        self.url = options.url.rstrip("/") + "/chat/completions"
        self.options = options
        self.headers = {"Content-Type": "application/json"}
        if key:
            self.headers["Authorization"] = "Bearer " + key

    def score(self, reply):
        question = f"The conversation:\n\n{as_text(reply['prompt'])}\n\nThe reply to mark:\n\n{reply['response']}"
        body = {"model": self.options.model, "temperature": 0, "seed": 0, "max_tokens": self.options.max_tokens,
                "messages": [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": question}]}
        answer = self.post(json.dumps(body).encode())
        try:
            return mark_in(json.loads(answer)["choices"][0]["message"]["content"] or "")
        except (ValueError, KeyError, IndexError, TypeError):
            raise JudgeError(f"{self.url} gave no completion: {answer[:200]!r}") from None

    def post(self, body):
        """The answer's body, after as many tries as it takes and is allowed."""
        for attempt in range(self.options.retries + 1):
            try:
                request = urllib.request.Request(self.url, body, self.headers)
                with urllib.request.urlopen(request, timeout=self.options.timeout) as response:
                    return response.read().decode("utf-8", "replace")
            except urllib.error.HTTPError as error:
                trouble = f"{self.url} answers {error.code}: {error.read(200).decode('utf-8', 'replace')!r}"
                if error.code not in PASSING:
                    break
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                trouble = f"cannot reach {self.url}: {getattr(error, 'reason', error)}"
            if attempt < self.options.retries:
                time.sleep(min(LONGEST_WAIT_S, self.options.wait * 2 ** attempt))
        raise JudgeError(trouble)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="of the server, up to and with /v1")
    parser.add_argument("--model", required=True)
    parser.add_argument("--parallel", type=int, default=4, help="requests at a time")
    parser.add_argument("--retries", type=int, default=5)
    parser.add_argument("--wait", type=float, default=1, help="seconds before the first retry, doubled each time")
    parser.add_argument("--timeout", type=float, default=120, help="seconds")
    parser.add_argument("--max-tokens", type=int, default=16, help="of an answer")
    options = parser.parse_args()
    server = Server(options, os.environ.get("COALA_JUDGE_KEY", ""))
    replies = [json.loads(line) for line in sys.stdin]
    with concurrent.futures.ThreadPoolExecutor(options.parallel) as pool:
        pending = [pool.submit(server.score, reply) for reply in replies]
        try:
            scores = [one.result() for one in pending]
        except JudgeError as error:
            pool.shutdown(cancel_futures=True)
            sys.exit(f"endpoint_judge: {error}")
    print("".join(json.dumps({"score": score}) + "\n" for score in scores), end="")


if __name__ == "__main__":
    main()
