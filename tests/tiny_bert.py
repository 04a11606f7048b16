"""A BERT with random weights: as a GGUF file, and as an implementation in double precision that shares nothing with
llama.cpp. Follows Devlin et al. (2019), arXiv 1810.04805, with GELU in its tanh form, as llama.cpp has it."""

import math
import random
import string
import struct

import gguf_files as gguf

DIM, LAYERS, HEADS, FFN, CONTEXT, EPS = 32, 2, 4, 64, 96, 1e-12
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CLS, SEP = 2, 3
# llama.cpp marks the beginning of a word where BERT's own files mark what continues one.
VOCABULARY = SPECIAL + ["▁the", "▁good", "▁bad", "▁answer"] + ["▁" + c for c in string.ascii_lowercase + "?!.:"]
VOCABULARY += list(string.ascii_lowercase)


def random_weights(seed):
    rng = random.Random(seed)
    weights = {}

    def tensor(name, shape, mean=0.0, spread=0.1):
        weights[name] = gguf.floats(shape, [rng.gauss(mean, spread) for _ in range(math.prod(shape))])

    def norm(name):
        tensor(name + ".weight", [DIM], 1.0)
        tensor(name + ".bias", [DIM])

    def dense(name, inputs, outputs, gain=1.0):
        tensor(name + ".weight", [inputs, outputs], spread=gain / math.sqrt(inputs))
        tensor(name + ".bias", [outputs])

    tensor("token_embd.weight", [DIM, len(VOCABULARY)], spread=1.0)
    tensor("position_embd.weight", [DIM, CONTEXT], spread=0.5)
    tensor("token_types.weight", [DIM, 2], spread=0.5)
    norm("token_embd_norm")
    for i in range(LAYERS):
        block = f"blk.{i}."
        dense(block + "attn_q", DIM, DIM, 3.0)
        dense(block + "attn_k", DIM, DIM, 3.0)
        dense(block + "attn_v", DIM, DIM)
        dense(block + "attn_output", DIM, DIM)
        norm(block + "attn_output_norm")
        dense(block + "ffn_up", DIM, FFN)
        dense(block + "ffn_down", FFN, DIM)
        norm(block + "layer_output_norm")
    return weights


def values():
    control, normal = 3, 1
    return {
        "general.architecture": (gguf.STRING, "bert"),
        "general.type": (gguf.STRING, "model"),
        "general.name": (gguf.STRING, "tiny-bert"),
        "general.file_type": (gguf.UINT32, 0),
        "bert.context_length": (gguf.UINT32, CONTEXT),
        "bert.embedding_length": (gguf.UINT32, DIM),
        "bert.block_count": (gguf.UINT32, LAYERS),
        "bert.feed_forward_length": (gguf.UINT32, FFN),
        "bert.attention.head_count": (gguf.UINT32, HEADS),
        "bert.attention.layer_norm_epsilon": (gguf.FLOAT32, EPS),
        "bert.attention.causal": (gguf.BOOL, False),
        "bert.pooling_type": (gguf.UINT32, 1),
        "tokenizer.ggml.model": (gguf.STRING, "bert"),
        "tokenizer.ggml.pre": (gguf.STRING, "default"),
        "tokenizer.ggml.tokens": (gguf.ARRAY, (gguf.STRING, VOCABULARY)),
        "tokenizer.ggml.token_type": (gguf.ARRAY, (gguf.INT32, [control if token in SPECIAL else normal
                                                                for token in VOCABULARY])),
        "tokenizer.ggml.token_type_count": (gguf.UINT32, 2),
        "tokenizer.ggml.padding_token_id": (gguf.UINT32, 0),
        "tokenizer.ggml.unknown_token_id": (gguf.UINT32, 1),
        "tokenizer.ggml.bos_token_id": (gguf.UINT32, CLS),
        "tokenizer.ggml.cls_token_id": (gguf.UINT32, CLS),
        "tokenizer.ggml.seperator_token_id": (gguf.UINT32, SEP),
        "tokenizer.ggml.mask_token_id": (gguf.UINT32, 4),
    }


def write(path, weights):
    gguf.write(path, values(), weights)


def half(x):
    """Rounded to 16 bits."""
    return struct.unpack("<e", struct.pack("<e", x))[0]


def gelu(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def gelu_from_table(x):
    """As ggml: between -10 and 10 from a table of 16-bit numbers."""
    if x <= -10:
        return 0.0
    return x if x >= 10 else half(gelu(half(x)))


class Bert:
    """States of token sequences, in double precision."""

    def __init__(self, weights, activation=gelu, sees_what_follows=True, token_type=0):
        self.weights = {name: gguf.values_of(tensor) for name, tensor in weights.items()}
        self.activation = activation
        self.sees_what_follows = sees_what_follows
        self.token_type = token_type

    def dense(self, name, rows):
        w, b = self.weights[name + ".weight"], self.weights[name + ".bias"]
        n = len(rows[0])
        return [[b[o] + math.fsum(w[o * n + i] * row[i] for i in range(n)) for o in range(len(b))] for row in rows]

    def norm(self, name, rows):
        g, b = self.weights[name + ".weight"], self.weights[name + ".bias"]
        result = []
        for row in rows:
            mean = math.fsum(row) / len(row)
            deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in row) / len(row) + EPS)
            result.append([(x - mean) / deviation * g[i] + b[i] for i, x in enumerate(row)])
        return result

    def attention(self, block, rows):
        q, k, v = (self.dense(block + name, rows) for name in ("attn_q", "attn_k", "attn_v"))
        width = DIM // HEADS
        mixed = [[0.0] * DIM for _ in rows]
        for begin in range(0, DIM, width):
            part = range(begin, begin + width)
            for t, query in enumerate(q):
                seen = range(len(rows) if self.sees_what_follows else t + 1)
                scores = [math.fsum(query[j] * k[s][j] for j in part) / math.sqrt(width) for s in seen]
                most = max(scores)
                exponentials = [math.exp(score - most) for score in scores]
                total = math.fsum(exponentials)
                for j in part:
                    mixed[t][j] = math.fsum(e * v[s][j] for s, e in enumerate(exponentials)) / total
        return self.dense(block + "attn_output", mixed)

    def states(self, tokens):
        def row_of(name, index):
            return self.weights[name][index * DIM:(index + 1) * DIM]

        def sums(*rows):
            return [math.fsum(parts) for parts in zip(*rows, strict=True)]

        rows = [sums(row_of("token_embd.weight", token), row_of("position_embd.weight", position),
                     row_of("token_types.weight", self.token_type)) for position, token in enumerate(tokens)]
        rows = self.norm("token_embd_norm", rows)
        for i in range(LAYERS):
            block = f"blk.{i}."
            mixed = self.attention(block, rows)
            rows = self.norm(block + "attn_output_norm", [sums(*pair) for pair in zip(rows, mixed, strict=True)])
            inner = [[self.activation(x) for x in row] for row in self.dense(block + "ffn_up", rows)]
            outer = self.dense(block + "ffn_down", inner)
            rows = self.norm(block + "layer_output_norm", [sums(*pair) for pair in zip(rows, outer, strict=True)])
        return rows


def tokens_of(text):
    """Of words that are in the vocabulary as a whole or can be spelt, lower case."""
    result = []
    for word in text.split():
        if "▁" + word in VOCABULARY:
            result.append(VOCABULARY.index("▁" + word))
        else:
            result += [VOCABULARY.index(("▁" if i == 0 else "") + c) for i, c in enumerate(word)]
    return result
