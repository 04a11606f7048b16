"""A scripted OpenAI-compatible server for the tests of `coala judge`, with faults that are planted."""

import hashlib
import http.server
import json
import math
import random
import threading
import time

KEY = "sk-not-to-be-seen-7391"


class Endpoint(http.server.ThreadingHTTPServer):
    """Judges by how many stars a reply has, or by a score of its own; what is wrong with it is in `faults`."""
    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.reset()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def reset(self, **faults):
        with self.lock:
            self.faults, self.asked, self.answered, self.now, self.most = faults, {}, {}, 0, 0
            self.keys_seen = set()
            self.probabilities = {}  # by question: those of the verdicts

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


def part(text, name):
    return text.split(f"----- {name} begins -----\n")[1].split(f"\n----- {name} ends -----")[0]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = json.loads(body)
        content = request["messages"][1]["content"]
        faults = self.server.faults
        question = json.dumps(request["messages"])
        with self.server.lock:
            self.server.keys_seen.add(self.headers.get("Authorization"))
            count = self.server.asked[body] = self.server.asked.get(body, 0) + 1
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
        time.sleep(faults.get("seconds", 0.002))
        # The same question, the same answer.
        draw = random.Random(hashlib.sha256(f"{faults.get('seed', 0)} {question}".encode()).digest())
        try:
            if faults.get("refuses"):
                return self.answer(401, f"no such key: {self.headers['Authorization']}")
            if faults.get("unknown"):
                return self.answer(400, f"no model of this name, {self.headers['Authorization']}")
            if faults.get("logprobs") == "refused" and "logprobs" in request:
                return self.answer(faults.get("status", 400), "logprobs is not supported")
            if count <= faults.get("fails", 0) and draw.random() < 0.5:
                return self.answer(draw.choice((429, 500, 503)), f"later, {self.headers['Authorization']}",
                                   {"Retry-After": "0.05"})
            if draw.random() < faults.get("refused", 0):
                return self.answer(draw.choice((400, 413, 422)),
                                   json.dumps({"error": {"message": f"too long, {self.headers['Authorization']}"}}))
            text = self.verdict(content, draw, faults)
            with self.server.lock:
                self.server.answered[body] = self.server.answered.get(body, 0) + 1
            cut = draw.random() < faults.get("cut", 0)
            choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "length" if cut else "stop"}
            if request.get("logprobs") and faults.get("logprobs") == "given" and text and text.endswith(("1]]", "2]]", "tie]]")):
                choice["logprobs"] = {"content": self.tokens(question, text, draw)}
            self.answer(200, json.dumps({"choices": [choice],
                                         "usage": {"prompt_tokens": len(content) // 4, "completion_tokens": 9,
                                                   "of": f"{KEY}/x"}}))
        finally:
            with self.server.lock:
                self.server.now -= 1

    def tokens(self, question, text, draw):
        """The answer's tokens, the brackets in one with the verdict or apart from it."""
        begin = text.rindex("[[")
        said = text[begin + 2:text.rindex("]]")]
        weights = {"1": draw.random(), "2": draw.random(), "tie": draw.random()}
        weights[said] += 1
        of = {verdict: weight / (sum(weights.values()) + 0.01) for verdict, weight in weights.items()}  # and another token
        with self.server.lock:
            self.server.probabilities[question] = of
        before = draw.choice(("", "[["))
        listed = [{"token": before + verdict, "logprob": math.log(of[verdict])} for verdict in of]
        listed.append({"token": before + "3", "logprob": math.log(1e-3)})
        if draw.random() < 0.5:  # some servers leave out what was said
            listed = [token for token in listed if token["token"] != before + said]
        plain = [{"token": piece, "logprob": -0.1, "top_logprobs": []} for piece in (text[:begin], *(["[["] if not before else []))]
        return [*plain, {"token": before + said, "logprob": math.log(of[said]), "top_logprobs": listed},
                {"token": "]]", "logprob": 0.0, "top_logprobs": []}]

    @staticmethod
    def verdict(content, draw, faults):
        if draw.random() < faults.get("malformed", 0):
            return draw.choice(("I would rather not say.", "[[3]]", "", None, "Reply 1 [[ is better"))
        if "----- reply begins" in content:
            return f"Fine. [[{1 + min(9, part(content, 'reply').count('*'))}]]"
        if draw.random() < faults.get("front", 0):
            return "The one in front. [[1]]"
        if "judge" in faults:
            return faults["judge"](part(content, "reply 1"), part(content, "reply 2"), draw)
        score = faults.get("score", lambda conversation, reply: reply.count("*"))
        scores = [score(part(content, "conversation"), part(content, f"reply {k}")) for k in (1, 2)]
        if scores[0] == scores[1]:
            return "No difference, so not [[1]] but\n[[tie]]"
        return f"Reasons. {KEY}\n[[{1 if scores[0] > scores[1] else 2}]]"

    def answer(self, status, text, headers=()):
        try:
            self.send_response(status)
            for name, value in dict(headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())
        except OSError:
            pass  # whoever asked was killed

    def log_message(self, *arguments):
        pass
