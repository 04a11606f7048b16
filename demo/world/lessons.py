"""The data sets of the world: preference pairs, conversations, prompts, each from its own subjects."""

import random

from .facts import SPLITS
from .judge import judge
from .writer import KEEP_RANGE, draw_qualities, draw_question, write_conversation, write_reply, write_turn

PATIENCE = 0.6  # of the tutors of the conversations
CLEAR = 2  # qualities by which the chosen reply is ahead of the rejected one, at least


def make_pairs(split, count, seed):
    """Pairs {"id", "prompt", "chosen", "rejected"}: two replies to a question, the judge's favourite first.

    Who is longer is drawn before the replies are, by a fair coin: length says nothing about a preference.
    """
    rng = random.Random(f"pairs {split} {seed}")
    for number in range(count):
        question = draw_question(rng, SPLITS[split])
        turn = write_turn(rng, question, first=True)
        chosen_is_longer = rng.random() < 0.5
        while True:
            replies = [write_reply(rng, question, draw_qualities(rng, rng.uniform(*KEEP_RANGE))) for _ in range(2)]
            rejected, chosen = sorted(replies, key=lambda reply: judge(turn, reply).score)
            ahead = judge(turn, chosen).score - judge(turn, rejected).score
            if ahead > (CLEAR - 0.5) / 5 and len(chosen) != len(rejected) and (
                    len(chosen) > len(rejected)) == chosen_is_longer:
                break
        yield {"id": f"{split}-{number}", "prompt": [{"role": "user", "content": turn}],
               "chosen": [{"role": "assistant", "content": chosen}],
               "rejected": [{"role": "assistant", "content": rejected}]}


def make_conversations(split, count, seed):
    """Conversations {"utterances": [["agent2", turn], ["agent1", reply], ...]} of two or three questions.

    Their tutors tire. That makes the Alternating Population Strategy's assumption true, that an answer is better than
    the tutor's next one; with tutors who do not, all it could teach is which question an answer belongs to.
    """
    rng = random.Random(f"conversations {split} {seed}")
    for _ in range(count):
        yield {"utterances": write_conversation(rng, SPLITS[split], rng.randint(2, 3), PATIENCE)}


def make_prompts(split, count, seed):
    """Prompts {"id", "prompt": [message]}, all different."""
    rng = random.Random(f"prompts {split} {seed}")
    seen = set()
    while len(seen) < count:
        turn = write_turn(rng, draw_question(rng, SPLITS[split]), first=True)
        if turn not in seen:
            seen.add(turn)
            yield {"id": f"{split}-{len(seen) - 1}", "prompt": [{"role": "user", "content": turn}]}
