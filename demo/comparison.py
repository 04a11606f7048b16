"""Scores of replies to the same prompts set against each other, with intervals. For the demo and the benchmarks."""

import random
import statistics

RESAMPLES = 2000


def wins(scores, others):
    """1 where the score is higher, 1/2 where it is equal."""
    return [1.0 if a > b + 1e-9 else 0.0 if a < b - 1e-9 else 0.5 for a, b in zip(scores, others)]


def bootstrap(values, clusters):
    """95 % interval of a mean. Resamples clusters, not values: replies to the same question, asked in other words,
    share their faults."""
    groups = {}
    for value, cluster in zip(values, clusters):
        groups.setdefault(cluster, []).append(value)
    groups = list(groups.values())
    rng = random.Random(1)
    means = sorted(statistics.fmean(value for group in rng.choices(groups, k=len(groups)) for value in group)
                   for _ in range(RESAMPLES))
    return [means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES)]]


def percent(value):
    return f"{100 * value:.1f} %"


def with_interval(value, interval):
    return f"{percent(value)} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def mean_percent(values, clusters):
    """The mean with its interval."""
    return with_interval(statistics.fmean(values), bootstrap(values, clusters))
