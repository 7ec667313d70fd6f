"""A data set's manifest: facts about splits and groups, and warnings."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnalm.data.attrition import QUANTILES, summary
from dnalm.names import LABEL, SPLITS, TARGET
from dnalm.sequence.kmers import gc_counts

LARGE_GROUP = 0.5


def describe_split(records: pd.DataFrame) -> dict[str, Any]:
    """Counts of one split's records, groups and sources, and distributions of length (bases) and GC fraction.

    With labels: their counts, `labels`, and the distributions by label. With targets: their distribution, `targets`
    (`sd` is the standard deviation with n - 1 degrees of freedom), and the distributions of all records, as `all`.
    """
    length = records["sequence"].str.len().to_numpy(np.int64)
    gc = gc_counts(records["sequence"].tolist()) / np.maximum(length, 1)
    truth: dict[str, Any]
    if LABEL in records:
        label = records[LABEL].to_numpy()
        present = {str(int(value)): label == value for value in np.unique(label)}
        truth = {"labels": {name: int(mask.sum()) for name, mask in present.items()}}
    else:
        present = {"all": np.ones(len(records), bool)}
        truth = {"targets": describe_targets(records[TARGET].to_numpy(np.float64))}
    return {
        "records": len(records),
        **truth,
        "sources": {str(source): int(count) for source, count in records["source"].value_counts().sort_index().items()},
        "groups": int(records["group"].nunique()),
        "length": {name: summary(length[mask]) for name, mask in present.items()},
        "gc": {name: summary(gc[mask]) for name, mask in present.items()},
    }


def describe_targets(targets: NDArray[np.float64]) -> dict[str, Any]:
    """n, mean, sd, quartiles and number of distinct values of targets, shape (n,); not rounded, for any unit."""
    return {
        "n": len(targets),
        "mean": float(targets.mean()),
        "sd": float(targets.std(ddof=1)) if len(targets) > 1 else 0.0,
        **{name: float(np.quantile(targets, place)) for name, place in QUANTILES.items()},
        "distinct": len(np.unique(targets)),
    }


def describe_groups(records: pd.DataFrame, assigned: NDArray[np.object_], definition: Sequence[str]) -> dict[str, Any]:
    """Number and size of the groups, and how many lie in more than one split. records: column group, shape (n,)."""
    sizes = records["group"].value_counts()
    spread = pd.Series(assigned).groupby(records["group"].to_numpy()).nunique()
    return {
        "number": len(sizes),
        "largest": int(sizes.max()),
        "largest_fraction": round(float(sizes.max() / len(records)), 6),
        "in_several_splits": int((spread > 1).sum()),
        "definition": list(definition),
    }


def shared_sequences(tables: Mapping[str, pd.DataFrame]) -> dict[str, int]:
    """Number of different sequences that occur in both of two splits, for each pair."""
    distinct = {split: set(table["sequence"]) for split, table in tables.items()}
    return {f"{a}/{b}": len(distinct[a] & distinct[b]) for a, b in combinations(SPLITS, 2)}


def warnings(manifest: Mapping[str, Any], method: str) -> list[str]:
    """One sentence for each fact in a manifest that makes a score less trustworthy than it looks."""
    result = []
    groups = manifest["groups"]
    refused = {kind: count for kind, count in groups.get("refused", {}).items() if count}
    if method == "grouped" and refused:
        links = " and ".join(f"{count:,} of {kind.replace('_', ' ')}" for kind, count in refused.items())
        result.append(
            f"Links between relatives were refused, as a group would have become too large ({links}): the audit counts "
            "the relatives that are in different splits."
        )
    if method == "grouped" and groups["largest_fraction"] > LARGE_GROUP:
        result.append(
            f"One group holds {groups['largest_fraction']:.0%} of the records ({groups['largest']}), "
            "so the splits cannot follow the fractions closely."
        )
    if groups["in_several_splits"]:
        result.append(
            f"{groups['in_several_splits']} of {groups['number']} groups of related records lie in more than one split "
            f"(split: {method}), so scores may be optimistic."
        )
    if method == "grouped" and groups.get("motifs_missing"):
        result.append(f"{groups['motifs_missing']} arrays have no motif, so no motif family keeps them in one split.")
    for pair, count in manifest["shared_sequences"].items():
        if count:
            result.append(f"{count} sequences occur in both {' and '.join(pair.split('/'))}.")
    return result
