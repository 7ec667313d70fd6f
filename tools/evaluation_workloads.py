"""Workloads of the benchmarks of audit and evaluation: a simulated data set; intervals compared with scikit-learn."""

import sys
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pandas as pd

from dnalm.config.stages.evaluation import IntervalSettings
from dnalm.evaluation.statistics.grouped import GroupedMetrics
from dnalm.evaluation.statistics.resampling import draws, intervals
from dnalm.files import write_json, write_table
from dnalm.names import SEQUENCE_COLUMNS, SPLITS
from dnalm.sequence.kmers import decode
from dnalm.tables.predictions import ClassPredictions

MEAN_LENGTH, MIN_LENGTH = 130, 26
MOTIF_LENGTHS = (7, 60)
PAIRS_PER_FAMILY = 5
DIVERGENCE = 0.05
"""Probability that a base of an array is replaced by a random one."""
TOKEN_BASES = 4
GROUP = 5
"""Mean number of records in a group."""
SETTINGS = IntervalSettings(effective_groups=30, largest_group=0.05)


def simulate(folder: Path, records: int, model: str, seed: int) -> None:
    """Write a data set for an audit to `folder`: `data`, `records.parquet`, `tokens/{model}` and `catalogue.parquet`.

    Half of the records are diverged arrays of random motifs, a few of each motif; the other half are their shuffles.
    Arrays of one motif and their shuffles form one group, which is in one split.
    """
    rng = np.random.default_rng(seed)
    pairs = records // 2
    families = max(pairs // PAIRS_PER_FAMILY, 10)
    motifs = [rng.integers(0, 4, size) for size in rng.integers(*MOTIF_LENGTHS, families)]
    family = rng.integers(0, families, pairs)
    lengths = MIN_LENGTH + rng.exponential(MEAN_LENGTH - MIN_LENGTH, pairs).astype(np.int64)
    arrays, shuffles = [], []
    for number, length in zip(family, lengths, strict=True):
        bases = np.resize(motifs[number], length)
        changed = rng.random(length) < DIVERGENCE
        bases[changed] = rng.integers(0, 4, int(changed.sum()))
        arrays.append(decode(bases))
        shuffles.append(decode(rng.permutation(bases)))
    starts = 1000 + np.cumsum(2 * lengths + 1000) - 2 * lengths
    group = np.array([f"family-{number:06d}" for number in family], dtype=object)
    motif = np.array([decode(motif) for motif in motifs], dtype=object)[family]
    names = np.array([f"array-{row:06d}" for row in range(pairs)], dtype=object)
    common = {"group": group, "chrom": "simulated", "strand": "+", "positive": names}
    columns = [*SEQUENCE_COLUMNS, "positive"]
    positive = {"id": names, "sequence": arrays, "label": 1, "source": "bed", "start": starts, "end": starts + lengths}
    far = starts + lengths + 500
    negative = {
        "id": "shuffle-" + names,
        "sequence": shuffles,
        "label": 0,
        "source": "unique",
        "start": far,
        "end": far + lengths,
    }
    table = pd.concat(
        [pd.DataFrame({**positive, **common, "motif": motif}), pd.DataFrame({**negative, **common})], ignore_index=True
    ).reindex(columns=columns)
    table = table.astype({"start": "Int64", "end": "Int64", "motif_length": "Int64", "motif": "str"})
    split = np.resize([0, 0, 0, 1, 2], families)[np.concatenate([family, family])]
    (folder / "tokens" / model).mkdir(parents=True)
    for number, name in enumerate(SPLITS):
        part = table[split == number].reset_index(drop=True)
        write_table(folder / "data" / f"{name}.parquet", part)
        tokens = part["sequence"].str.len().to_numpy(np.int64) // TOKEN_BASES
        np.save(folder / "tokens" / model / f"{name}.offsets.npy", np.concatenate([[0], tokens.cumsum()]))
        counts = {"records": len(part), "tokens": int(tokens.sum()), "unknown_tokens": 0, "records_with_unknown": 0}
        counts |= {"special_tokens": 2, "limit": 512}
        write_json(folder / "tokens" / model / f"{name}.json", counts)
    write_table(folder / "records.parquet", table)
    places = table.loc[table["label"] == 1, ["id", "chrom", "start", "end"]]
    write_table(folder / "catalogue.parquet", places.reset_index(drop=True))


def time_intervals(records: int, replicates: int, timed: int, classes: int) -> dict[str, float]:
    """Seconds of our intervals and scikit-learn's on predictions of `classes`, and their largest difference."""
    rng = np.random.default_rng(0)
    labels, codes = rng.integers(classes, size=records), rng.integers(max(1, records // GROUP), size=records)
    logits = rng.normal(size=(records, classes)) + np.eye(classes)[labels]
    scores = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).round(
        6
    )  # rounded as in files, so there are ties
    scores[:, 0] = 1 - scores[:, 1:].sum(axis=1)
    ids = np.array([f"r{i}" for i in range(records)], dtype=object)
    predictions = ClassPredictions(ids, labels, scores)
    settings = SETTINGS.model_copy(update={"replicates": replicates})

    print(f"{classes} classes: {replicates} replicates of {records} predictions", file=sys.stderr)
    start, busy = perf_counter(), process_time()
    intervals(predictions, codes, settings)
    seconds, own = perf_counter() - start, process_time() - busy

    codes = np.unique(codes, return_inverse=True)[1]
    groups = int(codes.max()) + 1
    weights = next(draws(groups, timed, settings.seed))
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


def by_scikit_learn(predictions: ClassPredictions, weights: np.ndarray) -> dict[str, float]:
    """The metrics of one replicate by scikit-learn, with sample weights."""
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
