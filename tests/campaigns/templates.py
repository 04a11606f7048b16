#!/usr/bin/env python3
"""Models whose chat templates are put together at random, with loops, growth and recursion, through `generate` and
`score`: each run ends by itself within 20 s, with status 0 or 2, and takes at most twice the memory of a run with the
model as it was (of a tiny model 32 MB more).
Usage: templates.py BINARY MODEL COUNT [SEED]"""

import os
import random
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import gguf_files  # noqa: E402
from program import Bounded, make_head, write_pairs  # noqa: E402

BINARY, MODEL = map(os.path.abspath, sys.argv[1:3])
COUNT = int(sys.argv[3])
SEED = int(sys.argv[4]) if len(sys.argv) > 4 else 1
TEXT = 8  # type of a value in GGUF
NAMES = ["messages", "m", "x", "ns.s", "loop.index", "bos_token", "add_generation_prompt", "y"]
FILTERS = ["tojson", "length", "trim", "upper", "join", "list", "string", "replace(1,2)", "first", "items",
           "tojson(indent=99)", "default(1)", "safe", "select", "map"]
METHODS = ["split(1)", "strip()", "items()", "content", "append(1)", "startswith(1)"]


class Writer:
    def __init__(self, seed):
        self.chance = random.Random(seed)

    def expression(self, depth=3):
        pick = self.chance.choice
        if depth == 0:
            return pick(NAMES + ["'a'", "7", "2.5", "none", "true", "[1,2]", "{'a':1}", "messages[0]['content']", "-1"])
        inner = lambda: self.expression(depth - 1)
        return pick([
            inner,
            lambda: f"({inner()} + {inner()})",
            lambda: f"({inner()} * {pick(['3', '1000', '100000000000', inner()])})",
            lambda: f"{inner()} | {pick(FILTERS)}",
            lambda: f"range({pick(['3', '99999999', 'messages|length', inner()])})",
            lambda: f"{inner()}[{inner()}]",
            lambda: f"{inner()} in {inner()}",
            lambda: f"{inner()} ~ {inner()}",
            lambda: f"f({inner()})",
            lambda: f"{inner()} if {inner()} else {inner()}",
            lambda: f"{inner()}.{pick(METHODS)}",
        ])()

    def block(self, depth=3):
        pick = self.chance.choice
        if depth == 0:
            return pick(["text ", "{{ " + self.expression(2) + " }}"])
        inner = lambda: "".join(self.block(depth - 1) for _ in range(self.chance.randrange(1, 3)))
        return pick([
            lambda: "{{ " + self.expression() + " }}",
            lambda: "{% for m in " + self.expression(2) + " %}" + inner() + "{% endfor %}",
            lambda: "{% if " + self.expression(2) + " %}" + inner() + "{% else %}" + inner() + "{% endif %}",
            lambda: "{% set x = " + self.expression(2) + " %}",
            lambda: "{% set ns.s = " + self.expression(2) + " %}",
            lambda: "{% macro f(y) %}" + inner() + "{% endmacro %}",
            lambda: "{% set x %}" + inner() + "{% endset %}",
            inner,
            lambda: pick(["{% endfor %}", "{{", "%}", "{# ", "{% raw %}"]),
        ])()

    def template(self):
        return "{% set ns = namespace(s='a') %}" + "".join(self.block() for _ in range(self.chance.randrange(1, 5)))


def main():
    writer = Writer(SEED)
    values, tensors = gguf_files.read(MODEL)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COALA_CACHE"] = os.path.join(folder, "cache")
        write_pairs(os.path.join(folder, "pairs.jsonl"), 40)
        make_head(BINARY, MODEL, folder, unbound=True)
        write_pairs(os.path.join(folder, "pairs.jsonl"), 3)
        commands = {
            "generate": ["generate", "--model", "m.gguf", "--prompt", "a cat", "--max-tokens", "1", "--threads", "1"],
            "score": ["score", "--model", "m.gguf", "--head", "h.st", "--allow-unbound", "--data", "pairs.jsonl",
                      "--threads", "1"]}
        shutil.copy(MODEL, os.path.join(folder, "m.gguf"))
        trials = Bounded(BINARY, commands, folder)
        for i in range(COUNT):
            name = ("generate", "score")[i % 2]
            text = writer.template()
            gguf_files.write(os.path.join(folder, "m.gguf"), values | {"tokenizer.chat_template": (TEXT, text)}, tensors)
            trials.holds(name, repr(text))
    return trials.report(f"{COUNT} templates")


if __name__ == "__main__":
    sys.exit(main())
