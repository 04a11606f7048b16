#!/usr/bin/env python3
"""Objective against time on one gated program, and held-out accuracy against time, as a figure and tables.

The program: no bias, fixed gates, one penalty, rows standardised as coala does; the peers get its gate pattern and
penalty from bench_gated and solve it in double from arrays in memory. The making of the dense design [D_1 X .. D_P X]
and compiling are not timed, setting up a solver is. Gaps are relative to the best objective known: of all runs, and of
double steps from coala's last point. Objectives are recomputed in double by the same lines for all.
Usage: convergence.py BUILD_BIN FEATURES FIGURE [--checkout DIR]

Run by an environment with bench/requirements-published.txt; bench/run.sh makes one.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import time

import jax
import jax.numpy as jnp
import matplotlib
import numpy
from safetensors.numpy import load_file, save_file
from skglm.datafits import LogisticGroup, QuadraticGroup
from skglm.penalties import WeightedGroupL2
from skglm.solvers import GroupBCD, GroupProxNewton
from skglm.utils.data import grp_converter
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

import adamw
from coala_train import coala_train, hold_out_a_fifth
from published_code import RHOS, PublishedCronos

matplotlib.use("svg")
from matplotlib import pyplot  # after the choice of the output

BETA_RATIO = 0.03   # of the penalty at which all weights are zero
PEER_LIMIT_S = 30   # a peer's ladder ends with the solve that takes longer
PEER_TOLERANCES = tuple(10.0 ** -k for k in range(1, 10))
PEER_STEPS = 1000   # of a solve, at most
GAPS = (1e-2, 1e-4, 1e-6)
POLISH_STEPS = 300


class Program:
    """The gated program in double: loss(sum_p D_p X w_p) + beta sum_p ||w_p||, weights [P, d]."""

    def __init__(self, loss, x, y, tensors):
        self.loss, self.x, self.y = loss, x.astype(numpy.float64), y.astype(numpy.float64)
        self.pattern, self.beta = tensors["pattern"].astype(numpy.float64), float(tensors["beta"][0])
        self.shape = self.pattern.shape[1], x.shape[1]

    def predict(self, w):
        return numpy.einsum("ip,ip->i", self.x @ w.T, self.pattern)

    def objective(self, w):
        z = self.predict(w)
        losses = (z - self.y) ** 2 / 2 if self.loss == "squared" else numpy.logaddexp(0, -self.y * z)
        return losses.sum() + self.beta * numpy.linalg.norm(w, axis=1).sum()

    def gradient(self, w):
        z = self.predict(w)
        residual = z - self.y if self.loss == "squared" else -self.y / (1 + numpy.exp(self.y * z))
        return (self.pattern * residual[:, None]).T @ self.x

    def curvature(self):
        """Largest eigenvalue of F'F times the loss's largest curvature, by power iterations."""
        w = numpy.random.default_rng(0).standard_normal(self.shape)
        for _ in range(30):
            size = numpy.linalg.norm(w)
            w = (self.pattern * self.predict(w / size)[:, None]).T @ self.x
        return 1.02 * numpy.linalg.norm(w) * (1 if self.loss == "squared" else 0.25)


def proximal_gradient(program, start, curvature):
    """Accelerated, restarted when the momentum points uphill: the weights after each step, without end."""
    w = ahead = start
    momentum = 1.0
    while True:
        moved = ahead - program.gradient(ahead) / curvature
        norms = numpy.linalg.norm(moved, axis=1, keepdims=True)
        following = moved * numpy.maximum(1 - program.beta / curvature / numpy.maximum(norms, 1e-300), 0)
        grown = (1 + (1 + 4 * momentum ** 2) ** 0.5) / 2
        if numpy.sum((ahead - following) * (following - w)) > 0:
            momentum = grown = 1.0
        ahead = following + (momentum - 1) / grown * (following - w)
        w, momentum = following, grown
        yield w


def numpy_points(program):
    start = time.perf_counter()
    points, due = [], 1
    steps = proximal_gradient(program, numpy.zeros(program.shape), program.curvature())
    for count, w in enumerate(steps, 1):
        seconds = time.perf_counter() - start
        if count == due:
            points.append((seconds, w))
            due = max(count + 1, int(1.25 * count))
        if seconds > PEER_LIMIT_S:
            return [(seconds, program.objective(w)) for seconds, w in points]


def skglm_points(program):
    """A solve from zero for each tolerance. Numbers of passes would not do: skglm leaves its inner loop when the violation
    has fallen by a factor, so that with a single outer step more passes change nothing."""
    groups, dimension = program.shape
    design = numpy.asfortranarray(numpy.concatenate([program.pattern[:, [p]] * program.x for p in range(groups)], 1))
    indices, pointers = grp_converter(dimension, groups * dimension)
    penalty = WeightedGroupL2(program.beta / len(design), numpy.ones(groups), pointers, indices)

    def solve(rows, tolerance):
        if program.loss == "squared":
            datafit = QuadraticGroup(pointers, indices)
            solver = GroupBCD(p0=groups, tol=tolerance)
        else:
            datafit = LogisticGroup(pointers, indices)
            solver = GroupProxNewton(max_iter=PEER_STEPS, p0=groups, tol=tolerance)
        start = time.perf_counter()
        w = solver.solve(numpy.asfortranarray(design[:rows]), program.y[:rows], datafit, penalty)[0]
        return time.perf_counter() - start, program.objective(w.reshape(program.shape))

    solve(200, 1e-2)  # compiles
    points = []
    for tolerance in PEER_TOLERANCES:
        points.append(solve(len(design), tolerance))
        if points[-1][0] > PEER_LIMIT_S:
            break
    return points


def convergence(loss, bench_gated, folder, train):
    """Seconds and relative gaps of each solver."""
    program_file = folder / "program.safetensors"
    lines = subprocess.run([bench_gated, folder / "standardised.safetensors", loss, str(BETA_RATIO), program_file],
                           check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    tensors = load_file(program_file)
    program = Program(loss, train["features"], train["labels"], tensors)
    points = {"coala": [(run["seconds"], run["objective"]) for run in map(json.loads, lines)],
              "accelerated proximal gradient, NumPy": numpy_points(program), "skglm": skglm_points(program)}
    polish = proximal_gradient(program, tensors["weights"].astype(numpy.float64), program.curvature())
    polished = min(program.objective(w) for w, _ in zip(polish, range(POLISH_STEPS)))
    best = min([polished] + [objective for own in points.values() for _, objective in own])
    return {name: [(seconds, (objective - best) / best) for seconds, objective in own] for name, own in points.items()}


def accuracies(binary, folder, checkout, raw, standardised):
    """Seconds and held-out accuracies: curves, or one point for what gives one model. Of coala the whole process, since
    its second layer, fitted after the solve, is part of its accuracy; of the others the fit from arrays in memory."""
    (x, y), (unseen, labels) = ((jnp.asarray(part["features"], jnp.float32), jnp.asarray(part["labels"], jnp.float32))
                                for part in raw)
    published = PublishedCronos(checkout)
    curves = {}
    for rho in RHOS:
        iterates = []
        observe = lambda u: iterates.append((time.perf_counter(), jax.block_until_ready(u)))
        published.fit("cronos", x, y, rho, 0)  # compiles
        start = time.perf_counter()
        published.fit("cronos", x, y, rho, 0, observe)
        curves[f"published CRONOS, JAX, rho {rho:g}"] = [(at - start, published.accuracy(u, unseen, labels))
                                                         for at, u in iterates[1:]]

    train, test = standardised
    x, y, unseen, labels = train["features"], train["labels"], test["features"], test["labels"]
    network, history, seconds = adamw.tuned(x, y)
    accuracy = lambda network: float(numpy.mean((adamw.score(network, unseen) > 0) == (labels > 0)))
    curves["two layers by AdamW, its best rate"] = [(at, accuracy(network)) for at, network in history]
    curves["two layers by AdamW, tuned"] = [(seconds, accuracy(network))]
    for name, model in (("logistic regression", LogisticRegression(max_iter=2000)),
                        ("logistic regression, C of 10", LogisticRegressionCV(
                            Cs=10, cv=5, max_iter=2000, n_jobs=-1, scoring="neg_log_loss", l1_ratios=(0,),
                            use_legacy_attributes=False))):
        start = time.perf_counter()
        model.fit(x, y)
        curves[name] = [(time.perf_counter() - start, float(numpy.mean(model.predict(unseen) == labels)))]
    for model_class in ("cronos", "linear", "gated"):
        run = coala_train(binary, folder, 0, "--model-class", model_class)
        curves[f"coala {model_class}, whole process"] = [(run.process_seconds, run.accuracy)]
    return curves


def draw(gaps, curves, path):
    pyplot.rcParams.update({"svg.hashsalt": "coala", "svg.fonttype": "none", "font.size": 9})
    figure, axes = pyplot.subplots(1, len(gaps) + 1, figsize=(13, 4.2))
    for axis, (loss, solvers) in zip(axes, gaps.items()):
        for name, points in solvers.items():
            axis.loglog(*zip(*[(seconds, max(gap, 1e-12)) for seconds, gap in points]), ".-", label=name)
        axis.set(title=f"gated program, {loss} loss", xlabel="seconds", ylabel="objective over the best known, less one")
    for name, points in curves.items():
        dashed = "--" if name.startswith("published") else "-"
        axes[-1].semilogx(*zip(*points), marker="*" if len(points) == 1 else ".", ls=dashed, label=name,
                          ms=11 if len(points) == 1 else 5)
    axes[-1].set(title="held-out accuracy", xlabel="seconds", ylim=(0.74, 0.835))
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def report_gaps(loss, solvers):
    print(f"{loss + ' loss':38s}" + "".join(f"{f's to {gap:g}':>12s}" for gap in GAPS) + f"{'least gap':>12s}{'s':>8s}")
    for name, points in solvers.items():
        times = [min((seconds for seconds, gap in points if gap <= wanted), default=None) for wanted in GAPS]
        least, seconds = min((gap, seconds) for seconds, gap in points)
        print(f"{name:38s}" + "".join("           -" if s is None else f"{s:12.2f}" for s in times)
              + f"{least:12.1e}{seconds:8.2f}", flush=True)


def report_accuracies(curves):
    print(f"{'model':38s} {'accuracy':>9s} {'s':>8s}")
    for name, points in curves.items():
        print(f"{name:38s} {100 * points[-1][1]:7.2f} % {points[-1][0]:8.2f}")


def standardise(train, test):
    """Columns to mean 0 and deviation 1; the nearly constant ones to 0, as coala does (docs/math.md)."""
    x = train["features"].astype(numpy.float64)
    deviation = x.std(axis=0)
    scale = numpy.where(deviation < 1e-3 * numpy.median(deviation), 0, 1 / numpy.maximum(deviation, 1e-300))
    return [part | {"features": ((part["features"] - x.mean(axis=0)) * scale).astype(numpy.float32)}
            for part in (train, test)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build_bin", type=pathlib.Path, help="folder of coala and bench_gated")
    parser.add_argument("features")
    parser.add_argument("figure")
    parser.add_argument("--checkout", help="of the published code; without it, it is cloned into the cache")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        raw = hold_out_a_fifth(options.features, folder)
        standardised = standardise(*raw)
        save_file(standardised[0], folder / "standardised.safetensors")
        gaps = {}
        for loss in ("squared", "logistic"):
            gaps[loss] = convergence(loss, options.build_bin / "bench_gated", folder, standardised[0])
            report_gaps(loss, gaps[loss])
        curves = accuracies(options.build_bin / "coala", folder, options.checkout, raw, standardised)
        report_accuracies(curves)
    draw(gaps, curves, options.figure)


if __name__ == "__main__":
    main()
