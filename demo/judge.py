"""The tutoring world's exact judge as a program, for `coala eval --generate --judge-command`: reads
{"prompt": messages, "response": text} a line, writes {"score": share of the five qualities} a line."""

import json
import sys

sys.dont_write_bytecode = True

from world.judge import judge  # noqa: E402

for line in sys.stdin:
    reply = json.loads(line)
    print(json.dumps({"score": judge(reply["prompt"][-1]["content"], reply["response"]).score}))
