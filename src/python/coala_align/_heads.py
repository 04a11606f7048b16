"""From arrays to a head."""

import json
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

from . import _coala
from ._settings import takes


class Estimate(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def estimate(figure):
    return None if figure is None else Estimate(*figure)


class Certificate(NamedTuple):
    """How good a solution is, recomputed in double from the data alone.

    objective: of the program at the solution
    bound: below which no solution can get
    relative_gap: (objective - bound) / max(|objective|, |bound|)
    """

    objective: float
    bound: float
    relative_gap: float


@dataclass(frozen=True)
class Fit:
    """A trained head, and how it came about.

    status: of the final fit: "Solved", "IterationLimit", "TimeLimit", "Interrupted" or "Stalled"
    certificate: the class cronos has none
    linear: whether a model without gates was chosen
    penalty_ratio: of the chosen penalty to the largest useful one
    held_out_loss, held_out_accuracy: of the chosen candidate, while rows were held out; it was chosen on these rows, so
        evaluate() on others says more
    """

    head: _coala.Head
    status: str
    certificate: Optional[Certificate]
    iterations: int
    seconds: float
    linear: bool
    penalty_ratio: float
    held_out_loss: float
    held_out_accuracy: float


@dataclass(frozen=True)
class Evaluation:
    """How good a head is on rows that it was not trained on.

    rows: that were judged; ties: of them those that the head cannot decide, which count as wrong
    accuracy: share of rows that it gets right; loss: nats per row
    margin: of pairs, how far chosen is ahead; longer: the accuracy of "the longer answer wins", where lengths are known
    area: of labelled rows of both labels, under the ROC curve
    metrics: all of them, as in metrics.json (docs/metrics.md)
    """

    rows: int
    ties: int
    accuracy: Estimate
    loss: Estimate
    margin: Optional[Estimate]
    longer: Optional[Estimate]
    area: Optional[Estimate]
    metrics: dict = field(repr=False)


@takes("FitSettings")
def fit(features, *, threads=0, news=None, **settings):
    """Trains a head on Features: a Fit. The same features, settings, version and kernels give the same head.

    threads: 0 for all cores
    news: called with each News; None: the logger coala_align
    """
    made = _coala.fit(features, settings, threads, news)
    if made["certificate"] is not None:
        made["certificate"] = Certificate(*made["certificate"])
    return Fit(**made)


def evaluate(head, features, seed=0):
    """Judges a head on Features: an Evaluation. seed: of the bootstrap."""
    found = _coala.evaluate(head, features, seed)
    metrics = json.loads(found.pop("json"))
    figures = {name: estimate(found.pop(name)) for name in ("accuracy", "loss", "margin", "longer", "area")}
    return Evaluation(**found, **figures, metrics=metrics)
