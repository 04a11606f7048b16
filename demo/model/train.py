"""Trains the demo's language model on the tutoring world. Killed at any moment, it goes on from its last checkpoint.

    demo/model/rebuild.sh        does everything: environment, training, conversion
"""

import argparse
import csv
import json
import os
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from model import corpus, network  # noqa: E402

BETAS, EPSILON, WEIGHT_DECAY, CLIP = (0.9, 0.95), 1e-8, 0.05, 1.0
WARM_UP = 60
HELD_OUT = "held out"  # in place of a step number: conversations that no step draws


def rate(step, steps, peak):
    """Linear warm-up, then a cosine to 2 % of the peak."""
    warm = jnp.minimum(1.0, (step + 1) / WARM_UP)
    return peak * warm * (0.02 + 0.98 * 0.5 * (1 + jnp.cos(jnp.pi * step / steps)))


def make_update(shape, steps, peak):
    @jax.jit
    def update(weights, mean, square, step, ids, documents):
        value, gradient = jax.value_and_grad(network.loss)(weights, ids, documents, shape)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in gradient.values()))
        gradient = {n: g * jnp.minimum(1.0, CLIP / norm) for n, g in gradient.items()}
        mean = {n: BETAS[0] * mean[n] + (1 - BETAS[0]) * g for n, g in gradient.items()}
        square = {n: BETAS[1] * square[n] + (1 - BETAS[1]) * g * g for n, g in gradient.items()}
        corrected = lambda moment, beta: moment / (1 - beta ** (step + 1.0))
        learning_rate = rate(step, steps, peak)
        for n, w in weights.items():
            direction = corrected(mean[n], BETAS[0]) / (jnp.sqrt(corrected(square[n], BETAS[1])) + EPSILON)
            decay = WEIGHT_DECAY if w.ndim == 2 and n != "token_embd" else 0.0
            weights = weights | {n: w - learning_rate * (direction + decay * w)}
        return weights, mean, square, value
    return update


def save(path, **groups):
    """A checkpoint under its final name only when it is complete."""
    temporary = path.with_suffix(".tmp.npz")
    np.savez(temporary, **{f"{group}/{name}": np.asarray(value) for group, values in groups.items()
                           for name, value in values.items()})
    os.replace(temporary, path)


def load(path):
    groups = {}
    with np.load(path) as file:
        for key in file.files:
            group, name = key.split("/", 1)
            groups.setdefault(group, {})[name] = jnp.asarray(file[key])
    return groups


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of checkpoint, tokenizer and loss curve")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--stop-after", type=int, help="stop after this many steps of the schedule")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--length", type=int, default=224, help="tokens of a row")
    parser.add_argument("--peak-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    shape = network.Shape()
    tokenizer = corpus.train_tokenizer(shape.vocabulary, options.seed)
    tokenizer.save(str(options.out / "tokenizer.json"))
    (options.out / "shape.json").write_text(json.dumps(shape.as_dict(), indent=2))

    checkpoint = options.out / "checkpoint.npz"
    if checkpoint.exists():
        state = load(checkpoint)
        weights, mean, square, curve = (state[group] for group in ("weights", "mean", "square", "curve"))
        first = int(curve["step"][-1]) + 1
        history = [tuple(row) for row in zip(*(np.asarray(curve[n]).tolist() for n in ("step", "train", "held_out")))]
        print(f"goes on from step {first}", flush=True)
    else:
        weights = network.initial(shape, jax.random.key(options.seed))
        mean = {n: jnp.zeros_like(w) for n, w in weights.items()}
        square, first, history = dict(mean), 0, []
    print(f"{sum(w.size for w in weights.values()):,} parameters", flush=True)

    update = make_update(shape, options.steps, options.peak_rate)
    evaluate = jax.jit(lambda w, ids, documents: network.loss(w, ids, documents, shape))
    held_out = [corpus.batch(tokenizer, options.seed, f"{HELD_OUT} {k}", options.rows, options.length) for k in range(4)]

    started, losses = time.monotonic(), []
    last = min(options.steps, options.stop_after or options.steps)
    for step in range(first, last):
        ids, documents = corpus.batch(tokenizer, options.seed, step, options.rows, options.length)
        weights, mean, square, value = update(weights, mean, square, float(step), ids, documents)
        losses.append(float(value))
        if (step + 1) % 50 == 0 or step + 1 == last:
            held = float(np.mean([evaluate(weights, *part) for part in held_out]))
            history.append((step, float(np.mean(losses)), held))
            losses = []
            numbers = np.array(history)
            save(checkpoint, weights=weights, mean=mean, square=square,
                 curve={"step": numbers[:, 0], "train": numbers[:, 1], "held_out": numbers[:, 2]})
            seconds = (time.monotonic() - started) / (step + 1 - first)
            print(f"step {step + 1}/{options.steps}  loss {history[-1][1]:.4f}  held out {held:.4f}  "
                  f"{options.rows * options.length / seconds:,.0f} tokens/s  "
                  f"{seconds * (last - step - 1) / 60:.0f} min left", flush=True)

    with open(options.out / "loss.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "train_loss", "held_out_loss"])
        writer.writerows((int(step) + 1, f"{train:.4f}", f"{held:.4f}") for step, train, held in history)


if __name__ == "__main__":
    main()
