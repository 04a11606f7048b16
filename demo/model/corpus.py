"""Text of the world as token ids: the tokenizer, and batches that depend on nothing but a seed and a step."""

import random

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from world.facts import SUBJECTS
from world.writer import write_conversation

BEGIN, END, STUDENT, TUTOR = "<|begin|>", "<|end|>", "<|student|>", "<|tutor|>"
SPECIAL = [BEGIN, END, STUDENT, TUTOR]
ROLE_TOKEN = {"agent1": TUTOR, "agent2": STUDENT}
MOST_TURNS = 3


def conversation(rng):
    return write_conversation(rng, list(SUBJECTS), turns=rng.randint(1, MOST_TURNS))


def train_tokenizer(vocabulary, seed, conversations=20000):
    """Byte-level BPE, as GPT-2's, learnt from the world."""
    rng = random.Random(f"tokenizer {seed}")
    texts = [text for _ in range(conversations) for _, text in conversation(rng)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode(tokenizer, utterances):
    """<|begin|>, then each turn between its speaker's token and <|end|>."""
    ids = [tokenizer.token_to_id(BEGIN)]
    for agent, text in utterances:
        ids.append(tokenizer.token_to_id(ROLE_TOKEN[agent]))
        ids += tokenizer.encode(text).ids
        ids.append(tokenizer.token_to_id(END))
    return ids


def batch(tokenizer, seed, step, rows, length):
    """Rows of whole conversations from the start, the last one cut: token ids and, for each, the number of its
    conversation in the row, both [rows, length + 1]."""
    rng = random.Random(f"batch {seed} {step}")
    ids = np.empty((rows, length + 1), np.int32)
    documents = np.empty((rows, length + 1), np.int32)
    for row in range(rows):
        filled, document = 0, 0
        while filled <= length:
            tokens = encode(tokenizer, conversation(rng))[:length + 1 - filled]
            ids[row, filled:filled + len(tokens)] = tokens
            documents[row, filled:filled + len(tokens)] = document
            filled += len(tokens)
            document += 1
    return ids, documents
