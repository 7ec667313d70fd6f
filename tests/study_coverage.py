"""How often 95 % intervals hold the truth: percentile, BCa and studentised bootstrap, on simulated related records.

Prints tables for docs/lab-notebook.md: of classes (about 20 minutes on one core) or, with --numbers, of predicted numbers
(5 minutes). Run from the root of the repository: PYTHONPATH=scripts:tests/helpers python tests/study_coverage.py
"""

import argparse

import numpy as np
from clustered import group_sizes, simulate, simulate_numbers, true_metrics, true_number_metrics
from scipy.stats import norm

from dnalm.evaluation.statistics.grouped import GroupedMetrics
from dnalm.evaluation.statistics.grouped_numbers import GroupedNumbers
from dnalm.evaluation.statistics.resampling import draws, interval

DESIGNS = {
    "8 equal groups": (8, 10, 0.0, 1.0, 1.0),
    "15 equal groups": (15, 10, 0.0, 1.0, 1.0),
    "30 equal groups": (30, 10, 0.0, 1.0, 1.0),
    "100 equal groups": (100, 10, 0.0, 1.0, 1.0),
    "30 unequal groups": (30, 8, 0.8, 1.0, 1.0),
    "60 unequal groups": (60, 8, 0.8, 1.0, 1.0),
    "150 unequal groups, none over 5 %": (150, 6, 0.8, 0.05, 1.0),
    "450 skewed groups": (450, 4, 1.5, 1.0, 1.0),
    "450 skewed groups, none over 5 %": (450, 4, 1.5, 0.05, 1.0),
    "100 equal groups, MCC .94": (100, 4, 0.0, 1.0, 2.5),
    "150 unequal groups, none over 5 %, MCC .90": (150, 6, 0.8, 0.05, 2.2),
}
"""Number of groups, mean records, shape of their lognormal sizes, largest share, separation of the classes."""
NUMBERS = {
    "30 equal groups": (30, 10, 0.0, 1.0, (0.6, 0.6)),
    "30 unequal groups": (30, 8, 0.8, 1.0, (0.6, 0.6)),
    "120 equal groups": (120, 4, 0.0, 1.0, (0.6, 0.6)),
    "120 unequal groups": (120, 4, 0.8, 1.0, (0.6, 0.6)),
    "450 skewed groups, none over 5 %": (450, 4, 1.5, 0.05, (0.6, 0.6)),
    "120 unequal groups, Pearson .98": (120, 4, 0.8, 1.0, (0.95, 0.2)),
    "120 unequal groups, Pearson .14": (120, 4, 0.8, 1.0, (0.1, 0.7)),
}
"""The same of predicted numbers, with slope and noise of the predictions."""
METHODS = ("percentile", "BCa", "studentised")
METRICS = {"mcc": "MCC", "auroc": "AUROC"}
NUMBER_METRICS = {"spearman": "Spearman", "pearson": "Pearson", "r2": "R2", "rmse": "RMSE"}


def main() -> None:
    """Print a row for each design."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--repeats", type=int, default=500)
    options.add_argument("--replicates", type=int, default=400)
    options.add_argument("--numbers", action="store_true", help="predicted numbers instead of classes")
    args = options.parse_args()
    metrics = NUMBER_METRICS if args.numbers else METRICS
    heads = [f"{metric}, {method}" for metric in metrics.values() for method in METHODS]
    print(f"| {' | '.join(['Test set', 'effective groups', 'largest', *heads])} |\n|{'---|' * (3 + len(heads))}")
    for name, design in (NUMBERS if args.numbers else DESIGNS).items():
        print(f"| {' | '.join([name, *row(design, args.repeats, args.replicates)])} |", flush=True)


def row(
    design: tuple[int, float, float, float, float | tuple[float, float]], repeats: int, replicates: int
) -> list[str]:
    """Mean effective groups and largest share, and the coverage of each metric by each method, where it gives an interval."""
    number, mean, skew, largest, quality = design
    numbers = isinstance(quality, tuple)
    names = NUMBER_METRICS if numbers else METRICS
    truth = true_number_metrics(*quality) if numbers else true_metrics(quality)
    rng = np.random.default_rng(1)
    held = np.full((repeats, len(names), len(METHODS)), np.nan)
    effective, shares = [], []
    for repeat in range(repeats):
        sizes = group_sizes(rng, number, mean, skew, largest)
        effective.append(sizes.sum() ** 2 / (sizes**2).sum())
        shares.append(sizes.max() / sizes.sum())
        if numbers:
            (predictions,), codes = simulate_numbers(rng, sizes, *quality)
            metrics = GroupedNumbers(predictions, codes, number)
        else:
            (predictions,), codes = simulate(rng, sizes, quality)
            metrics = GroupedMetrics(predictions, codes, number)
        drawn = [metrics.measure(weights) for weights in draws(number, replicates, repeat)]
        observed = metrics.measure(np.ones((1, number)))
        left_out = metrics.measure(1 - np.eye(number))
        for i, name in enumerate(names):
            values, errors = (np.concatenate([part[name][j] for part in drawn]) for j in (0, 1))
            bounds = (
                np.nanquantile(values, [0.025, 0.975]),
                bca(observed[name][0][0], values, left_out[name][0]),
                interval(name, observed[name], (values, errors), 0.95),
            )
            for j, (low, high) in enumerate(bounds):
                if np.isfinite(low):  # else it is withheld
                    held[repeat, i, j] = low <= truth[name] <= high
    facts = [f"{np.mean(effective):.0f}", f"{np.mean(shares):.1%}"]
    return [*facts, *(f"{share:.3f}" for share in np.nanmean(held, axis=0).ravel())]


def bca(value: float, values: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """BCa interval (Efron 1987) from replicates (B,) and the values without each group."""
    values = values[np.isfinite(values)]
    below = (np.mean(values < value) + np.mean(values <= value)) / 2
    bias = norm.ppf(np.clip(below, 0.5 / len(values), 1 - 0.5 / len(values)))
    away = np.nanmean(left_out) - left_out[np.isfinite(left_out)]
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5) if away.any() else 0.0
    points = bias + norm.ppf([0.025, 0.975])
    return np.quantile(values, norm.cdf(bias + points / (1 - acceleration * points)))


if __name__ == "__main__":
    main()
