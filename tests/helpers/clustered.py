"""Simulated predictions of related records, for which the true metrics are known."""

import numpy as np
from scipy.stats import norm

from dnalm.config.stages.evaluation import EvaluateSettings
from dnalm.tables.predictions import ClassPredictions, NumberPredictions

SETTINGS = EvaluateSettings(replicates=400, effective_groups=2, largest_group=1.0)


def group_sizes(rng: np.random.Generator, number: int, mean: float, skew: float, largest: float = 1.0) -> np.ndarray:
    """Records of each group, lognormal of shape `skew` (0: all equal), none over `largest` of all records."""
    sizes = np.maximum(1, rng.lognormal(np.log(mean) - skew**2 / 2, skew, number).round()).astype(int)
    while sizes.max() > largest * sizes.sum():
        sizes[sizes.argmax()] = int(largest * sizes.sum()) - 1
    return sizes


def simulate(
    rng: np.random.Generator, sizes: np.ndarray, separation: float, spread: float = 0.8, runs: int = 1
) -> tuple[list[ClassPredictions], np.ndarray]:
    """Predictions of equally good runs on the same records, and the group of each record (n,).

    A record's logit is +-separation by its label, plus two effects of its group (how easy it is, and a shift; standard
    deviations `spread` and half of it), shared by the runs, plus noise of standard deviation 1, half of it shared.
    """
    codes = np.repeat(np.arange(len(sizes)), sizes)
    labels = rng.integers(0, 2, len(codes))
    sign = 2 * labels - 1
    effects = spread * rng.normal(size=(2, len(sizes)))[:, codes]
    logit = separation * sign + effects[0] * sign + effects[1] / 2 + np.sqrt(0.5) * rng.normal(size=len(codes))
    ids = np.array([f"r{i}" for i in range(len(codes))], dtype=object)
    made = []
    for _ in range(runs):
        score = norm.cdf(logit + np.sqrt(0.5) * rng.normal(size=len(codes))).round(6)
        made.append(ClassPredictions(ids, labels, np.column_stack((1 - score, score))))
    return made, codes


def simulate_seeds(
    rng: np.random.Generator, groups: int, seeds: int, spread: float, gain: float = 0.0, mcc: float = 0.7
) -> tuple[list[ClassPredictions], ClassPredictions, np.ndarray]:
    """Runs of one method with several seeds, a fixed rival, and the group of each record (n,); 4 records a group.

    The runs' true MCC are normal about `mcc` + `gain` with standard deviation `spread`; the rival's is `mcc`. What makes
    a record hard is shared by all, half of it by its group.
    """
    codes = np.repeat(np.arange(groups), 4)
    labels = rng.integers(0, 2, len(codes))
    hardness = np.sqrt(0.3) * (rng.normal(size=groups)[codes] + rng.normal(size=len(codes)))
    ids = np.array([f"r{i}" for i in range(len(codes))], dtype=object)

    def run(value: float) -> ClassPredictions:
        right = hardness + np.sqrt(0.4) * rng.normal(size=len(codes)) < norm.ppf((1 + min(value, 0.999)) / 2)
        score = np.where(right, labels, 1 - labels) * 0.8 + 0.1
        return ClassPredictions(ids, labels, np.column_stack((1 - score, score)))

    return [run(mcc + gain + spread * rng.normal()) for _ in range(seeds)], run(mcc), codes


def true_metrics(separation: float, spread: float = 0.8) -> dict[str, float]:
    """What the metrics of `simulate`d predictions tend to as the groups become many."""
    distance = separation / np.sqrt(1 + 1.25 * spread**2)
    accuracy = float(norm.cdf(distance))
    return {"accuracy": accuracy, "mcc": 2 * accuracy - 1, "auroc": float(norm.cdf(np.sqrt(2) * distance))}


def simulate_numbers(
    rng: np.random.Generator, sizes: np.ndarray, slope: float = 0.6, noise: float = 0.6, runs: int = 1
) -> tuple[list[NumberPredictions], np.ndarray]:
    """Predicted numbers of equally good runs on the same records, and the group of each record (n,).

    A target is normal with variance 1, half of it shared by its group; a prediction is `slope` times the target plus noise
    of standard deviation `noise`, of which half the variance is shared by the group, and by the runs.
    """
    codes = np.repeat(np.arange(len(sizes)), sizes)
    ids = np.array([f"r{i}" for i in range(len(codes))], dtype=object)
    shared = np.sqrt(0.5) * rng.normal(size=(2, len(sizes)))[:, codes]
    targets = shared[0] + np.sqrt(0.5) * rng.normal(size=len(codes))
    made = []
    for _ in range(runs):
        errors = shared[1] + np.sqrt(0.5) * rng.normal(size=len(codes))
        made.append(NumberPredictions(ids, targets, slope * targets + noise * errors))
    return made, codes


def true_number_metrics(slope: float = 0.6, noise: float = 0.6) -> dict[str, float]:
    """What the metrics of `simulate_numbers` tend to as the groups become many; the Spearman correlation by Pearson 1907."""
    pearson = slope / np.hypot(slope, noise)
    square = (1 - slope) ** 2 + noise**2
    return {
        "spearman": 6 / np.pi * np.arcsin(pearson / 2),
        "pearson": pearson,
        "r2": 1 - square,
        "rmse": np.sqrt(square),
    }
