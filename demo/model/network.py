"""A decoder of the Llama architecture in JAX: RMS norms, rotary positions, grouped-query attention, gated feed-forward
layers, an output matrix of its own."""

from dataclasses import asdict, dataclass

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class Shape:
    vocabulary: int = 2048
    dimension: int = 192
    layers: int = 5
    heads: int = 3  # of dimension 64: llama.cpp attends to them twice as fast as to 6 of dimension 32
    key_heads: int = 1
    hidden: int = 640
    context: int = 512  # declared; rotary positions are learnt up to the row length of the training
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-5

    @property
    def head_dimension(self):
        return self.dimension // self.heads

    def as_dict(self):
        return asdict(self)


def initial(shape, key):
    """Weights as {name: array}, matrices [in, out]; names are those of GGUF without ".weight"."""
    d, keys = shape.dimension, shape.key_heads * shape.head_dimension
    sizes = {"token_embd": (shape.vocabulary, d), "output": (d, shape.vocabulary)}
    for layer in range(shape.layers):
        sizes |= {f"blk.{layer}.{name}": size for name, size in {
            "attn_q": (d, d), "attn_k": (d, keys), "attn_v": (d, keys), "attn_output": (d, d),
            "ffn_gate": (d, shape.hidden), "ffn_up": (d, shape.hidden), "ffn_down": (shape.hidden, d)}.items()}
    weights = {}
    for name, size in sizes.items():
        key, draw = jax.random.split(key)
        scale = 0.02 if name == "token_embd" else size[0] ** -0.5
        if name.endswith(("attn_output", "ffn_down")):  # what adds to the residual stream starts small
            scale /= (2 * shape.layers) ** 0.5
        weights[name] = scale * jax.random.normal(draw, size)
    for name in ["output_norm"] + [f"blk.{layer}.{part}_norm" for layer in range(shape.layers) for part in
                                   ("attn", "ffn")]:
        weights[name] = jnp.ones(d)
    return weights


def _norm(x, gain, epsilon):
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + epsilon) * gain


def _rotate(x, angles):
    """Rotates neighbouring pairs of coordinates (llama.cpp's order for this architecture). x: [b, t, heads, hd]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = jnp.cos(angles)[:, None, :], jnp.sin(angles)[:, None, :]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(x.shape)


def _attend(q, k, v, visible):
    """q: [b, t, heads, hd]; k, v: [b, t, key heads, hd]; visible: [b, t, t]. One matrix product per row and key head,
    the query heads that share it stacked: on a CPU nearly twice as fast as the same sums left to einsum."""
    b, t, key_heads, hd = k.shape
    sharing = q.shape[2] // key_heads
    q = q.reshape(b, t, key_heads, sharing, hd).transpose(0, 2, 3, 1, 4).reshape(b * key_heads, sharing * t, hd)
    k, v = (x.transpose(0, 2, 1, 3).reshape(b * key_heads, t, hd) for x in (k, v))
    scores = jax.lax.batch_matmul(q, k.transpose(0, 2, 1)).reshape(b, key_heads, sharing, t, t)
    attention = jax.nn.softmax(jnp.where(visible[:, None, None], scores, -1e30), axis=-1)
    mixed = jax.lax.batch_matmul(attention.reshape(b * key_heads, sharing * t, t), v)
    return mixed.reshape(b, key_heads * sharing, t, hd).transpose(0, 2, 1, 3).reshape(b, t, -1)


def logits(weights, ids, documents, shape):
    """Next-token logits [b, t, vocabulary]; a token sees what came before it in its own document."""
    b, t = ids.shape
    hd = shape.head_dimension
    angles = jnp.arange(t)[:, None] * shape.rope_base ** (-jnp.arange(0, hd, 2) / hd)
    visible = jnp.tril(jnp.ones((t, t), bool)) & (documents[:, :, None] == documents[:, None, :])
    x = weights["token_embd"][ids]
    for layer in range(shape.layers):
        w = lambda name: weights[f"blk.{layer}.{name}"]
        h = _norm(x, w("attn_norm"), shape.norm_epsilon)
        q = _rotate((h @ w("attn_q")).reshape(b, t, shape.heads, hd), angles)
        k = _rotate((h @ w("attn_k")).reshape(b, t, shape.key_heads, hd), angles)
        v = (h @ w("attn_v")).reshape(b, t, shape.key_heads, hd)
        x = x + _attend(q * hd ** -0.5, k, v, visible) @ w("attn_output")
        h = _norm(x, w("ffn_norm"), shape.norm_epsilon)
        x = x + (jax.nn.silu(h @ w("ffn_gate")) * (h @ w("ffn_up"))) @ w("ffn_down")
    return _norm(x, weights["output_norm"], shape.norm_epsilon) @ weights["output"]


def loss(weights, ids, documents, shape):
    """Mean cross-entropy of the next token within documents, nats. ids, documents: [b, t + 1]."""
    scores = logits(weights, ids[:, :-1], documents[:, :-1], shape)
    counted = documents[:, 1:] == documents[:, :-1]
    chosen = jnp.take_along_axis(scores, ids[:, 1:, None], axis=-1)[..., 0]
    return jnp.sum(counted * (jax.nn.logsumexp(scores, axis=-1) - chosen)) / jnp.sum(counted)
