"""Records in, three splits and a manifest out."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from dnalm.config.stages.data import SplitLabelsSettings
from dnalm.data import manifest
from dnalm.data.groups import definition, group_records
from dnalm.data.splits import Assignment, cap, check_splits, split_grouped, split_random
from dnalm.names import LABEL, SPLITS
from dnalm.tables import ledger
from dnalm.tables.sequences import BATCH, GIVEN_GROUP, LOCUS, SOFT_MASKED, sequence_table

EARLIER_FACTS = ("kept_vs_dropped", "ambiguous", "missing")
"""Facts in the ledgers of balance and import_table that the manifest repeats."""

CARRIED = (*LOCUS, SOFT_MASKED, GIVEN_GROUP, BATCH, "positive")
"""Columns of the records that the splits keep, after those of every sequence table."""


def rule(settings: SplitLabelsSettings) -> str:
    """How records are assigned: `given` for splits as published, else the method."""
    return "given" if settings.given else settings.method


def divide(
    records: pd.DataFrame, relatives: pd.DataFrame, ledgers: Iterable[Mapping[str, Any]], settings: SplitLabelsSettings
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """The sequence table of each split, in the order of `records`, and the manifest.

    records: a sequence table with, optionally, the columns `CARRIED` and, for splits by chromosome or as published,
    `split`; rows with the same `positive` are kept or dropped together. relatives: the result of `find_relatives` for
    these records. ledgers: those of the earlier stages. Raises `UserError` if a split is empty or holds only one label
    or target.
    """
    extra = [column for column in CARRIED if column in records]
    grouping = group_records(records, relatives, settings.largest_group)
    records = records.assign(group=grouping.groups).reset_index(drop=True)
    assigned = _assign(records, settings)
    check_splits(records, assigned, rule(settings))
    keep = cap(records, assigned, settings.caps, settings.seed)
    lines = _ledger_lines(records["source"], keep)
    records, assigned = records[keep].reset_index(drop=True), assigned[keep]
    check_splits(records, assigned, "max_records")
    tables = {split: sequence_table(records[assigned == split].reset_index(drop=True), extra) for split in SPLITS}
    ledgers = list(ledgers)
    inferred = sum(one.get("motifs_inferred", 0) for one in ledgers)
    words = definition(settings.kind, settings.related, settings.largest_group, bool(inferred))
    groups = manifest.describe_groups(records, assigned, words)
    groups["refused"] = grouping.refused
    if settings.kind == "repeats":
        missing = int(records.loc[records["label"] == 1, "motif"].isna().sum())
        groups |= {"motifs_inferred": inferred, "motifs_missing": missing}
    facts: dict[str, Any] = {
        "ledger": [*ledger.merge(ledgers), *lines],
        "splits": {split: manifest.describe_split(table) for split, table in tables.items()},
        "groups": groups,
        "shared_sequences": manifest.shared_sequences(tables),
        "labels": {
            str(label): (settings.labels or {}).get(label, str(label))
            for label in (sorted(set(records[LABEL])) if LABEL in records else ())
        },
        "placed": {name: facts for one in ledgers for name, facts in one.get("placed", {}).items()},
        **{fact: next((one[fact] for one in ledgers if fact in one), None) for fact in EARLIER_FACTS},
    }
    return tables, {**facts, "warnings": manifest.warnings(facts, rule(settings))}


def _assign(records: pd.DataFrame, settings: SplitLabelsSettings) -> Assignment:
    if rule(settings) in ("given", "chromosome"):
        return records["split"].to_numpy(object)
    method = split_grouped if rule(settings) == "grouped" else split_random
    return method(records, settings.fractions.model_dump(), settings.seed)


def _ledger_lines(sources: pd.Series, keep: np.ndarray) -> list[dict[str, Any]]:
    total, kept = Counter(sources.tolist()), Counter(sources[keep].tolist())
    return [
        ledger.entry("split_labels", source, count, kept[source], {"max_records": count - kept[source]})
        for source, count in sorted(total.items())
    ]
