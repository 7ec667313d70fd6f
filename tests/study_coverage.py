"""How often 95 % intervals hold the truth, and tests reject one, on simulated related records.

    python tests/study_coverage.py all [--repeats 400] [--jobs 16] [--output coverage.md]
    python tests/study_coverage.py rare seeds ...
    python tests/study_coverage.py --numbers

Prints tables for docs/lab-notebook.md, each with its Monte-Carlo standard errors in brackets. Run from the root of the
repository with PYTHONPATH=scripts:tests/helpers. `all` takes about 15 CPU-minutes with 400 repeats, --numbers 3.

classes     sizes of groups and strengths of a classifier
rare        5 % of the groups wrong throughout
near_one    true MCC of .97 to 1
seeds       equal methods whose runs differ by their seeds: how often they are told apart
background  precision at 1 % prevalence, with families of background windows
power       the detectable difference: how often it is found
"""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from clustered import (
    SETTINGS,
    group_sizes,
    simulate,
    simulate_numbers,
    simulate_seeds,
    true_metrics,
    true_number_metrics,
)
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from dnalm.evaluation.statistics.comparison import difference
from dnalm.evaluation.statistics.differences import METHODS
from dnalm.evaluation.statistics.grouped import standard_errors
from dnalm.evaluation.statistics.grouped_numbers import GroupedNumbers
from dnalm.evaluation.statistics.prevalence import precision, prevalence
from dnalm.evaluation.statistics.primary import primary_statistic
from dnalm.evaluation.statistics.resampling import draws, interval, intervals
from dnalm.tables.predictions import ClassPredictions

Trial = Callable[[Any, np.random.SeedSequence], tuple[float, ...]]
Table = Iterator[Sequence[str]]
"""Its head, and then its rows."""

LEVEL = 0.95
CLASSES = {
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
RARE = [(groups, right) for right in (1.0, 0.97, 0.9) for groups in (30, 60, 120, 400)]
"""Number of groups of 10 records, and how often the records of all but the rare groups are right."""
RARE_SHARE = 0.05
NEAR_ONE = [(groups, mcc) for mcc in (0.97, 0.99, 1.0) for groups in (100, 400)]
"""Number of groups of 4 records, and the true MCC."""
SEEDS = [(groups, seeds) for groups in (150, 2500) for seeds in (1, 3, 5)]
SEED_SD = 0.03
BACKGROUND = {"all windows of a family alike": 1.0, "correlation .3 in a family": 0.3, "unrelated windows": 0.0}
"""The correlation of false positives between windows of a family."""
FAMILIES, WINDOWS, FALSE_POSITIVES, FOUND = 200, 50, 0.03, 0.9
POWER = [(groups, 1, 0.0) for groups in (100, 300, 1000)] + [(groups, 5, SEED_SD) for groups in (300, 1000)]
"""Number of groups, seeds, standard deviation over seeds."""
NUMBERS = {
    "30 equal groups": (30, 10, 0.0, 1.0, (0.6, 0.6)),
    "30 unequal groups": (30, 8, 0.8, 1.0, (0.6, 0.6)),
    "120 equal groups": (120, 4, 0.0, 1.0, (0.6, 0.6)),
    "120 unequal groups": (120, 4, 0.8, 1.0, (0.6, 0.6)),
    "450 skewed groups, none over 5 %": (450, 4, 1.5, 0.05, (0.6, 0.6)),
    "120 unequal groups, Pearson .98": (120, 4, 0.8, 1.0, (0.95, 0.2)),
    "120 unequal groups, Pearson .14": (120, 4, 0.8, 1.0, (0.1, 0.7)),
}
"""The same as `CLASSES` of predicted numbers, with slope and noise of the predictions."""
METHOD_NAMES = ("percentile", "BCa", "studentised")
NUMBER_METRICS = {"spearman": "Spearman", "pearson": "Pearson", "r2": "R2", "rmse": "RMSE"}


def main() -> int:
    """Write the tables of the studies asked for; returns 1 if one failed."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("studies", nargs="*", metavar="study", help=f"all, or some of {', '.join(STUDIES)}")
    options.add_argument("--numbers", action="store_true", help="predicted numbers instead of classes")
    options.add_argument("--repeats", type=int, default=400, metavar="N", help="of each row (default 400)")
    options.add_argument("--jobs", type=int, default=1, metavar="N", help="processes of one thread each (default 1)")
    options.add_argument("--output", type=Path, metavar="FILE", help="where the tables are written, too")
    args = options.parse_args()
    named = list(STUDIES) if args.studies == ["all"] else args.studies
    if not set(named) <= set(STUDIES) or bool(named) == args.numbers:
        options.error(f"name some of {', '.join(STUDIES)}, or all, or give --numbers")
    failed, begin = 0, time.monotonic()

    def write(line: str) -> None:
        print(line, flush=True)
        if args.output:
            with args.output.open("a") as file:
                file.write(line + "\n")

    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text("")
    for name in ["numbers"] if args.numbers else named:
        start = time.monotonic()
        write(f"\n**{name}**, {args.repeats} repeats:\n")
        try:
            with ProcessPoolExecutor(args.jobs, initializer=one_thread) as pool:
                for number, row in enumerate((STUDIES | {"numbers": numbers})[name](pool, args.repeats)):
                    write(f"| {' | '.join(row)} |" + ("" if number else f"\n|{' --- |' * len(row)}"))
        except Exception:  # the other studies shall be had nonetheless
            failed += 1
            write(f"\nfailed:\n\n```\n{traceback.format_exc()}```")
        write(f"\n{name}: {time.monotonic() - start:.0f} s")
    spent = os.times()
    cpu = spent.user + spent.system + spent.children_user + spent.children_system
    write(f"\n{time.monotonic() - begin:.0f} s with {args.jobs} processes, {cpu / 60:.1f} CPU-minutes")
    return int(bool(failed))


def one_thread() -> None:
    """Processes share the cores, not threads: so small matrices are not worth the latter."""
    threadpool_limits(limits=1)


def repeated(pool: ProcessPoolExecutor, trial: Trial, designs: Sequence[Any], repeats: int) -> Iterator[np.ndarray]:
    """Results of a trial, (repeats, values), for each design. Its seeds do not depend on the number of processes."""
    roots = np.random.SeedSequence(1).spawn(len(designs))
    chunk = max(1, repeats // 64)
    running = [
        pool.map(partial(trial, design), root.spawn(repeats), chunksize=chunk)
        for design, root in zip(designs, roots, strict=True)
    ]
    return (np.array(list(results), float) for results in running)


def figure(value: float, places: int = 3) -> str:
    return f"{value:.{places}f}".removeprefix("0") if value >= 0 else f"{value:.{places}f}"


def rate(held: np.ndarray) -> str:
    """The share that is true of what is given, and its standard error; held: 1, 0, or NaN if not given."""
    held = held[np.isfinite(held)]
    if not len(held):
        return "–"
    share = held.mean()
    return f"{figure(share)} ({figure(np.sqrt(share * (1 - share) / len(held)))})"


def median(values: np.ndarray) -> str:
    """The median of what is given, and half of its 68 % interval by ranks."""
    values = values[np.isfinite(values)]
    if not len(values):
        return "–"
    step = 0.5 / np.sqrt(len(values))
    low, high = np.quantile(values, np.clip([0.5 - step, 0.5 + step], 0, 1))
    return f"{figure(np.median(values))} ({figure((high - low) / 2)})"


def judged(
    scored: ClassPredictions, codes: np.ndarray, truth: dict[str, float], rng: np.random.Generator
) -> tuple[float, ...]:
    """Whether the interval holds the truth, and its width, for each metric; and whether the bootstrap's of MCC does."""
    seed = int(rng.integers(2**31))
    bounds = intervals(scored, codes, SETTINGS.model_copy(update={"seed": seed})).bounds
    result = []
    for name, value in truth.items():
        low, high = bounds[name].values() if name in bounds else (np.nan, np.nan)
        result += [held(low, value, high), high - low]
    low, high = bootstrap_alone(scored, codes, seed)
    return *result, held(low, truth["mcc"], high)


def held(low: float, truth: float, high: float) -> float:
    """Whether an interval holds the truth, to rounding; NaN if it is not given."""
    return float(low - 1e-9 <= truth <= high + 1e-9) if np.isfinite(low) else np.nan


def bootstrap_alone(scored: ClassPredictions, codes: np.ndarray, seed: int) -> tuple[float, float]:
    """The studentised interval of MCC, with few errors too."""
    groups = int(codes.max()) + 1
    statistic = primary_statistic(scored, codes, groups)

    def measured(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, slopes = statistic(weights)
        return values, standard_errors(weights, slopes)

    parts = [measured(weights) for weights in draws(groups, SETTINGS.replicates, seed)]
    values, errors = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    return interval("mcc", measured(np.ones((1, groups))), (values, errors), LEVEL)


def interval_cells(found: np.ndarray) -> list[str]:
    """Cells of two metrics and the bootstrap, as `judged` gives them."""
    given, alone = (f"{100 * np.isfinite(found[:, i]).mean():.0f} %" for i in (0, 4))
    mcc, other = ([rate(found[:, i]), median(found[:, i + 1])] for i in (0, 2))
    return [given, *mcc, alone, rate(found[:, 4]), *other]


def interval_heads(other: str) -> list[str]:
    alone = ["bootstrap alone: given", "coverage"]
    return ["MCC: given", "coverage", "median width", *alone, f"{other}: coverage", "median width"]


def classes(pool: ProcessPoolExecutor, repeats: int) -> Table:
    yield ["test set", "effective groups", "largest", *interval_heads("AUROC")]
    for name, found in zip(CLASSES, repeated(pool, class_trial, list(CLASSES.values()), repeats), strict=True):
        yield [name, f"{found[:, -2].mean():.0f}", f"{100 * found[:, -1].mean():.1f} %", *interval_cells(found)]


def class_trial(design: tuple[int, float, float, float, float], seed: np.random.SeedSequence) -> tuple[float, ...]:
    number, mean, skew, largest, separation = design
    rng = np.random.default_rng(seed)
    sizes = group_sizes(rng, number, mean, skew, largest)
    (scored,), codes = simulate(rng, sizes, separation)
    truth = true_metrics(separation)
    facts = sizes.sum() ** 2 / (sizes**2).sum(), sizes.max() / sizes.sum()
    return *judged(scored, codes, {"mcc": truth["mcc"], "auroc": truth["auroc"]}, rng), *facts


def rare(pool: ProcessPoolExecutor, repeats: int) -> Table:
    yield ["groups", "right elsewhere", "true MCC", *interval_heads("accuracy"), "no rare group drawn"]
    for (groups, right), found in zip(RARE, repeated(pool, rare_trial, RARE, repeats), strict=True):
        true = figure(2 * (1 - RARE_SHARE) * right - 1)
        yield [str(groups), figure(right, 2), true, *interval_cells(found), figure(found[:, -1].mean(), 2)]


def rare_trial(design: tuple[int, float], seed: np.random.SeedSequence) -> tuple[float, ...]:
    groups, right = design
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(groups), 10)
    labels = rng.integers(0, 2, len(codes))
    failing = rng.random(groups) < RARE_SHARE
    correct = ~failing[codes] & (rng.random(len(codes)) < right)
    certain = np.where(correct == labels, 1, -1) * rng.uniform(0.3, 0.45, len(codes)) + 0.5
    scored = ClassPredictions(np.arange(len(codes)), labels, np.column_stack((1 - certain, certain)))
    accuracy = (1 - RARE_SHARE) * right
    return *judged(scored, codes, {"mcc": 2 * accuracy - 1, "accuracy": accuracy}, rng), float(not failing.any())


def near_one(pool: ProcessPoolExecutor, repeats: int) -> Table:
    yield ["groups", "true MCC", *interval_heads("AUROC"), "without an error"]
    for (groups, mcc), found in zip(NEAR_ONE, repeated(pool, near_one_trial, NEAR_ONE, repeats), strict=True):
        yield [str(groups), figure(mcc, 2), *interval_cells(found), figure(found[:, -1].mean(), 2)]


def near_one_trial(design: tuple[int, float], seed: np.random.SeedSequence) -> tuple[float, ...]:
    groups, mcc = design
    rng = np.random.default_rng(seed)
    separation = norm.ppf((1 + mcc) / 2) * np.sqrt(1 + 1.25 * 0.8**2) if mcc < 1 else 40.0
    (scored,), codes = simulate(rng, np.full(groups, 4), separation)
    truth = true_metrics(separation)
    perfect = float((scored.predicted == scored.labels).all())
    return *judged(scored, codes, {"mcc": mcc, "auroc": truth["auroc"]}, rng), perfect


def seeds(pool: ProcessPoolExecutor, repeats: int) -> Table:
    yield [
        "groups",
        "seeds",
        "the verdict is about",
        f"equal methods, seed SD {figure(SEED_SD, 2)}: rejected",
        "rejected if about models",
        "equal models: rejected if about models",
    ]
    for (groups, number), found in zip(SEEDS, repeated(pool, seeds_trial, SEEDS, repeats), strict=True):
        about = "methods" if found[:, 0].all() else "models"
        yield [str(groups), str(number), about, *(rate(found[:, i]) for i in (1, 2, 3))]


def seeds_trial(design: tuple[int, int], seed: np.random.SeedSequence) -> tuple[float, ...]:
    """Whether the verdict is about methods, and whether each of three tests rejects the truth."""
    groups, number = design
    rng = np.random.default_rng(seed)
    runs, rival, codes = simulate_seeds(rng, groups, number, SEED_SD)
    shipped = difference((runs, True), ([rival], False), codes, SETTINGS)
    fixed = difference((runs, False), ([rival], False), codes, SETTINGS)
    runs, rival, codes = simulate_seeds(rng, groups, number, 0.0)
    equal = difference((runs, False), ([rival], False), codes, SETTINGS)
    return float(shipped["about"] == METHODS), *(float(one["p"] <= 1 - LEVEL) for one in (shipped, fixed, equal))


def background(pool: ProcessPoolExecutor, repeats: int) -> Table:
    kinds = ("by family", "without groups")
    parts = ("precision: coverage", "median width", "false-positive rate: coverage", "median width")
    yield [f"{FAMILIES} families of {WINDOWS} windows", *(f"{kind}: {part}" for kind in kinds for part in parts)]
    results = repeated(pool, background_trial, list(BACKGROUND.values()), repeats)
    for name, found in zip(BACKGROUND, results, strict=True):
        yield [name, *((rate, median)[i % 2](found[:, i]) for i in range(8))]


def background_trial(correlation: float, seed: np.random.SeedSequence) -> tuple[float, ...]:
    """Coverage and width of precision at 1 % and of the false-positive rate, by family and without groups."""
    rng = np.random.default_rng(seed)
    families = np.repeat(np.arange(FAMILIES), WINDOWS)
    rates = np.full(FAMILIES, FALSE_POSITIVES)
    if correlation == 1:
        rates = (rng.random(FAMILIES) < FALSE_POSITIVES).astype(float)
    elif correlation:
        total = 1 / correlation - 1
        rates = rng.beta(FALSE_POSITIVES * total, (1 - FALSE_POSITIVES) * total, FAMILIES)
    positives = 150
    called = [rng.random(positives) < FOUND, rng.random(len(families)) < rates[families]]
    test, windows = (
        ClassPredictions(np.arange(len(hits)), np.full(len(hits), label), np.column_stack((1 - score, score)))
        for hits, label in zip(called, (1, 0), strict=True)
        for score in [np.where(hits, 0.7, 0.2)]
    )
    validation = ClassPredictions(np.arange(2), np.array([0, 1]), np.array([[0.8, 0.2], [0.2, 0.8]]))
    scored = {"validation": validation, "test": test, "background": windows}
    truth, result = precision(0.01, FOUND, FALSE_POSITIVES), []
    for groups in (families, windows.ids):
        found = prevalence(scored, {"test": test.ids, "background": groups}, SETTINGS)
        at = next(part for part in found["precision"] if part["prevalence"] == 0.01)
        low, high = found["fpr_low"], found["fpr_high"]
        result += [held(at["low"], truth, at["high"]), at["high"] - at["low"]]
        result += [held(low, FALSE_POSITIVES, high), high - low]
    return tuple(result)


def power(pool: ProcessPoolExecutor, repeats: int) -> Table:
    yield ["groups", "seeds", "seed SD", "about", "detectable difference (mean)", "found, of .80 claimed"]
    claimed = list(repeated(pool, power_trial, [(*design, 0.0) for design in POWER], repeats))
    gains = [float(found[:, 1].mean()) for found in claimed]
    designs = [(*design, gain) for design, gain in zip(POWER, gains, strict=True)]
    for (groups, number, spread, gain), null, found in zip(
        designs, claimed, repeated(pool, power_trial, designs, repeats), strict=True
    ):
        error = null[:, 1].std(ddof=1) / np.sqrt(repeats)
        about = "methods" if found[:, 0].all() else "models"
        place = f"{figure(gain, 4)} ({figure(error, 4)})"
        yield [str(groups), str(number), figure(spread, 2), about, place, rate(found[:, 2])]


def power_trial(design: tuple[int, int, float, float], seed: np.random.SeedSequence) -> tuple[float, ...]:
    """Whether the verdict is about methods, the detectable difference, and whether the difference is found."""
    groups, number, spread, gain = design
    runs, rival, codes = simulate_seeds(np.random.default_rng(seed), groups, number, spread, gain)
    found = difference((runs, True), ([rival], False), codes, SETTINGS)
    return float(found["about"] == METHODS), found["detectable"], float(found["p"] <= 1 - LEVEL)


STUDIES: dict[str, Callable[[ProcessPoolExecutor, int], Table]] = {
    "classes": classes,
    "rare": rare,
    "near_one": near_one,
    "seeds": seeds,
    "background": background,
    "power": power,
}


def numbers(pool: ProcessPoolExecutor, repeats: int) -> Table:
    """Percentile, BCa and studentised intervals of predicted numbers."""
    heads = [f"{metric}, {method}" for metric in NUMBER_METRICS.values() for method in METHOD_NAMES]
    yield ["test set", "effective groups", "largest", *heads]
    for name, found in zip(NUMBERS, repeated(pool, number_trial, list(NUMBERS.values()), repeats), strict=True):
        rates = [rate(found[:, i]) for i in range(len(heads))]
        yield [name, f"{found[:, -2].mean():.0f}", f"{100 * found[:, -1].mean():.1f} %", *rates]


def number_trial(
    design: tuple[int, float, float, float, tuple[float, float]], seed: np.random.SeedSequence
) -> tuple[float, ...]:
    """Whether each metric's interval by each method holds the truth; effective groups, and the largest one's share."""
    number, mean, skew, largest, quality = design
    rng = np.random.default_rng(seed)
    sizes = group_sizes(rng, number, mean, skew, largest)
    (predictions,), codes = simulate_numbers(rng, sizes, *quality)
    metrics, truth = GroupedNumbers(predictions, codes, number), true_number_metrics(*quality)
    drawn = [metrics.measure(weights) for weights in draws(number, SETTINGS.replicates, int(rng.integers(2**31)))]
    observed = metrics.measure(np.ones((1, number)))
    left_out = metrics.measure(1 - np.eye(number))
    result = []
    for name in NUMBER_METRICS:
        values, errors = (np.concatenate([part[name][j] for part in drawn]) for j in (0, 1))
        bounds = (
            np.nanquantile(values, [0.025, 0.975]),
            bca(observed[name][0][0], values, left_out[name][0]),
            interval(name, observed[name], (values, errors), LEVEL),
        )
        result += [held(low, truth[name], high) for low, high in bounds]
    return *result, sizes.sum() ** 2 / (sizes**2).sum(), sizes.max() / sizes.sum()


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
    sys.exit(main())
