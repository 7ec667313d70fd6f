"""Measure how long the intervals of all metrics take: simulated predictions, 2,000 bootstrap replicates.

The baseline is the same replicates by scikit-learn, weighted by group, of which a few are timed in this run and the rest
extrapolated. The output is JSON: the machine, the versions, the seconds of both on one core (what other programs do to
the clock is no part of them), their ratio, and the largest difference between the two on the replicates that both made.
"""

import argparse
import shlex
import sys
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from dnalm.cli import main
from dnalm.evaluation.grouped import GroupedMetrics
from dnalm.evaluation.predictions import Predictions
from dnalm.evaluation.resampling import draws, intervals
from dnalm.files import write_json
from dnalm.machine import machine, versions

TARGET = 60.0
"""Seconds of one core for 2,000 replicates of 100,000 predictions of two classes."""
GROUP = 5
"""Records of a group, on average."""
SETTINGS = {"confidence": 0.95, "seed": 1, "effective_groups": 30, "largest_group": 0.05}


def run() -> None:
    """Read the command line, time both, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--output", type=Path, required=True, metavar="JSON", help="the figures")
    options.add_argument("--records", type=int, default=100_000, metavar="N", help="predictions (default 100,000)")
    options.add_argument("--replicates", type=int, default=2000, metavar="N", help="replicates (default 2,000)")
    options.add_argument("--baseline", type=int, default=5, metavar="N", help="replicates timed of scikit-learn")
    args = options.parse_args()

    found = {str(k): time(args.records, args.replicates, args.baseline, k) for k in (2, 3)}
    report = {
        "command": shlex.join(["python", "scripts/benchmark_evaluation.py", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(),
        "records": args.records,
        "replicates": args.replicates,
        "classes": found,
        "target": {"cpu_seconds_at_most": TARGET, "reached": found["2"]["cpu_seconds"] <= TARGET},
    }
    write_json(args.output, report)


def time(records: int, replicates: int, timed: int, classes: int) -> dict[str, float]:
    """Seconds of both ways on predictions of so many classes, and how far they are apart."""
    rng = np.random.default_rng(0)
    labels, codes = rng.integers(classes, size=records), rng.integers(max(1, records // GROUP), size=records)
    logits = rng.normal(size=(records, classes)) + np.eye(classes)[labels]
    scores = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).round(6)  # as they are written, so with ties
    scores[:, 0] = 1 - scores[:, 1:].sum(axis=1)
    ids = np.array([f"r{i}" for i in range(records)], dtype=object)
    predictions = Predictions(ids, labels, scores)
    settings = {**SETTINGS, "replicates": replicates}

    print(f"{classes} classes: {replicates} replicates of {records} predictions", file=sys.stderr)
    start, busy = perf_counter(), process_time()
    intervals(predictions, codes, settings)
    seconds, own = perf_counter() - start, process_time() - busy

    codes = np.unique(codes, return_inverse=True)[1]
    groups = int(codes.max()) + 1
    weights = next(draws(groups, {**settings, "replicates": timed}))
    found = GroupedMetrics(predictions, codes, groups).measure(weights)
    print(f"{classes} classes: {len(weights)} replicates by scikit-learn", file=sys.stderr)
    busy = process_time()
    expected = [by_scikit_learn(predictions, weighting[codes]) for weighting in weights]
    baseline = (process_time() - busy) / len(weights) * replicates
    apart = max(abs(found[name][0][i] - one[name]) for i, one in enumerate(expected) for name in one)
    return {
        "groups": groups,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(own, 2),
        "scikit_learn_cpu_seconds": round(baseline, 1),
        "ratio": round(baseline / own, 1),
        "largest_difference": float(apart),
    }


def by_scikit_learn(predictions: Predictions, weights: np.ndarray) -> dict[str, float]:
    """The metrics of one replicate, as scikit-learn makes them of weighted records."""
    from sklearn import metrics

    labels, scores, guess = predictions.labels, predictions.scores, predictions.predicted
    rankings = predictions.one_against_rest()
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, guess, average="macro", sample_weight=weights
    )
    of_label_1 = scores[:, 1] if predictions.classes == 2 else scores
    return {
        "accuracy": metrics.accuracy_score(labels, guess, sample_weight=weights),
        "mcc": metrics.matthews_corrcoef(labels, guess, sample_weight=weights),
        "macro_f1": f1,
        "macro_precision": precision,
        "macro_recall": recall,
        "auroc": float(np.mean([metrics.roc_auc_score(*one, sample_weight=weights) for one in rankings])),
        "auprc": float(np.mean([metrics.average_precision_score(*one, sample_weight=weights) for one in rankings])),
        "log_loss": metrics.log_loss(labels, scores, sample_weight=weights),
        "brier": metrics.brier_score_loss(labels, of_label_1, sample_weight=weights),
    }


if __name__ == "__main__":
    main(run)
