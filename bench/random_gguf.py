"""Models with the shapes of well-known ones and random weights, written as fast as the disk takes them: what a card
needs for their products does not depend on the numbers. The tokenizer is that of another GGUF file. Used by card.py."""

import struct

import numpy

# d, layers, feed-forward, heads, heads of keys and values
SHAPES = {"tiny": (256, 2, 512, 4, 2), "135M": (576, 30, 1536, 9, 3), "1B": (2048, 16, 8192, 32, 8),
          "3B": (3072, 28, 8192, 24, 8), "8B": (4096, 32, 14336, 32, 8)}
U32, F32, STRING, ARRAY = 4, 6, 8, 9
WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
# Types of tensors: number in GGUF, weights and bytes of a block.
TYPES = {"F16": (1, 1, 2), "Q4_K": (12, 256, 144)}


def text(value):
    return struct.pack("<Q", len(value.encode())) + value.encode()


def skip_value(data, at, kind):
    if kind == STRING:
        return at + 8 + struct.unpack_from("<Q", data, at)[0]
    if kind != ARRAY:
        return at + WIDTHS[kind]
    of, count = struct.unpack_from("<IQ", data, at)
    at += 12
    if of != STRING:
        return at + count * WIDTHS[of]
    for _ in range(count):
        at = skip_value(data, at, STRING)
    return at


def tokenizer_of(path):
    """(its entries as they stand in the file, how many, tokens in the vocabulary)"""
    data = path.read_bytes()
    count = struct.unpack_from("<Q", data, 16)[0]
    at, entries, vocabulary = 24, [], 0
    for _ in range(count):
        begun = at
        length = struct.unpack_from("<Q", data, at)[0]
        key = data[at + 8:at + 8 + length].decode()
        at += 8 + length
        kind = struct.unpack_from("<I", data, at)[0]
        if key == "tokenizer.ggml.tokens":
            vocabulary = struct.unpack_from("<Q", data, at + 8)[0]
        at = skip_value(data, at + 4, kind)
        if key.startswith("tokenizer."):
            entries.append(data[begun:at])
    return b"".join(entries), len(entries), vocabulary


def random_bytes(kind, count):
    """Weights of a small size, as blocks of their type. A million of them are drawn, and repeated."""
    draw = numpy.random.default_rng(0)
    number, weights, width = TYPES[kind]
    blocks = count // weights
    some = min(blocks, 2 ** 20 // weights)
    if kind == "F16":
        block = draw.normal(0, 0.02, some).astype(numpy.float16).view(numpy.uint8).reshape(some, width)
    else:
        block = draw.integers(0, 256, (some, width), dtype=numpy.uint8)
        # Scale and offset of the block: 0.02 / (a scale of 32 x a weight of 8), and as much again below.
        block[:, :4] = numpy.array([8e-5, 6e-4], numpy.float16).view(numpy.uint8)
    return [(block.tobytes() * -(-blocks // some))[:blocks * width]]


def write(path, shape, kind, tokenizer_file):
    """A Llama of one of the SHAPES, its matrices of one of the TYPES."""
    width, layers, inner, heads, kv_heads = SHAPES[shape]
    entries, count, vocabulary = tokenizer_of(tokenizer_file)
    kv = width // heads * kv_heads
    own = [text("general.architecture") + struct.pack("<I", STRING) + text("llama"),
           text("general.name") + struct.pack("<I", STRING) + text(f"random {shape}")]
    for key, value in {"context_length": 2048, "embedding_length": width, "block_count": layers,
                       "feed_forward_length": inner, "attention.head_count": heads, "attention.head_count_kv": kv_heads,
                       "rope.dimension_count": width // heads, "vocab_size": vocabulary}.items():
        own.append(text("llama." + key) + struct.pack("<II", U32, value))
    own.append(text("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", F32, 1e-5))
    tensors = [("token_embd", (vocabulary, width)), ("output_norm", (width,)), ("output", (vocabulary, width))]
    for layer in range(layers):
        tensors += [(f"blk.{layer}.{name}", dimensions) for name, dimensions in (
            ("attn_norm", (width,)), ("attn_q", (width, width)), ("attn_k", (kv, width)), ("attn_v", (kv, width)),
            ("attn_output", (width, width)), ("ffn_norm", (width,)), ("ffn_gate", (inner, width)),
            ("ffn_up", (inner, width)), ("ffn_down", (width, inner)))]
    infos, offset = [], 0
    for name, dimensions in tensors:
        number, weights, size = (0, 1, 4) if len(dimensions) == 1 else TYPES[kind]
        infos.append(text(name + ".weight") + struct.pack("<I", len(dimensions))
                     + struct.pack(f"<{len(dimensions)}Q", *reversed(dimensions)) + struct.pack("<IQ", number, offset))
        size = int(numpy.prod(dimensions, dtype=numpy.int64)) // weights * size
        offset += size + -size % 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), count + len(own)) + b"".join(own) + entries + b"".join(infos)
    with path.open("wb") as file:
        file.write(head + b"\0" * (-len(head) % 32))
        for name, dimensions in tensors:
            ones = len(dimensions) == 1
            parts = ([numpy.ones(dimensions, numpy.float32).tobytes()] if ones
                     else random_bytes(kind, int(numpy.prod(dimensions, dtype=numpy.int64))))
            size = 0
            for part in parts:
                size += file.write(part)
            file.write(b"\0" * (-size % 32))
    return path
