"""The audit of a data set, before any training."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dnalm.errors import UserError
from dnalm.evaluation.audit import checks, leaks, targets
from dnalm.evaluation.audit.balance import compare_splits, split_balance
from dnalm.evaluation.audit.checks import Check, Subject
from dnalm.evaluation.audit.family import correct
from dnalm.evaluation.audit.markers import find_markers, markers
from dnalm.evaluation.audit.origin import OPTIONAL, find_origins, origin
from dnalm.evaluation.audit.probes import judge, measure_probes, thin_groups
from dnalm.evaluation.audit.shortcuts import shortcuts
from dnalm.evaluation.audit.token_counts import TokenCounts
from dnalm.evaluation.statistics.clusters import Groups
from dnalm.names import LABEL, SPLITS, TARGET
from dnalm.tables.sequences import truth_column

COLUMNS = ("id", "sequence", "group")
"""Columns that the audit needs, with `label` or `target`."""
USED_IF_PRESENT = ("soft_masked", *OPTIONAL)
"""Columns that the audit looks at if the tables have them."""


def audit(
    subject: Subject,
    tables: Mapping[str, pd.DataFrame],
    leakage: Mapping[str, Any],
    tokens: Mapping[str, TokenCounts],
    seen: Check | None = None,
) -> dict[str, Any]:
    """The content of audit.json: all checks that apply, the shortcut probes, and which failed checks stop the workflow.

    tables: the sequence table of each split, checked by `check_tables`. leakage: the output of `compare_splits.py` for
    them. tokens: of each model, in the order of the splits' records. seen: the check `pretraining`. The probes pool all
    splits, as their models are not used again. The p values of all probes, markers, origins and comparisons of splits
    are corrected together.
    """
    _check_facts(leakage, tables)
    records = pd.concat([tables[split] for split in SPLITS], ignore_index=True)
    limits = subject.limits
    repeats = subject.kind == "repeats"
    of_numbers = subject.truth == TARGET
    rows = thin_groups(records)
    probed = records.iloc[rows].reset_index(drop=True)
    probes, marked, origins, compared, distances = correct(
        measure_probes(probed, {model: counts.take(rows) for model, counts in tokens.items()}, limits),
        find_markers(records),
        find_origins(subject, probed),
        compare_splits(subject, tables),
        targets.distances(tables) if of_numbers else [],
    )
    probes = judge(probes, subject.truth, limits, subject.kind)
    found = [
        *(
            [targets.sizes(subject, tables), targets.target_distributions(subject, distances)]
            if of_numbers
            else [checks.classes(subject, _by_label(tables))]
        ),
        leaks.duplicates(subject, leakage),
        leaks.shared_sequences(subject, leakage),
        leaks.relatives("near_duplicates", subject, leakage),
        leaks.relatives("given_groups", subject, leakage),
        targets.conflicting_targets(subject, leakage) if of_numbers else leaks.conflicting_labels(subject, leakage),
        *(leaks.relatives(name, subject, leakage) for name in leaks.OF_REPEATS if repeats),
        *(leaks.negatives(name, subject, leakage) for name in leaks.OF_NEGATIVES if repeats),
        shortcuts(subject, probes, "soft_masked" in records),
        markers(subject, marked),
        origin(subject, origins, records),
        split_balance(subject, compared),
        seen,
        *([checks.overlong(subject, tokens), checks.unknown_tokens(subject, tokens)] if tokens else []),
        checks.effective_groups(subject, Groups.of(pd.factorize(tables["test"]["group"])[0])),
    ]
    return checks.report(subject, [check for check in found if check is not None], probes)


def check_tables(tables: Mapping[str, pd.DataFrame], places: Mapping[str, Any]) -> None:
    """Refuse tables that cannot be audited. places: their files, for error messages.

    Raises `UserError` for a missing column, group, label or target, for labels in one table and targets in another, and
    for an id that occurs twice in or across splits.
    """
    seen: dict[str, str] = {}
    truth = truth_column(tables[SPLITS[0]])
    for split in SPLITS:
        table, place = tables[split], places[split]
        for column in (*COLUMNS, truth):
            if column not in table:
                known = ", ".join((*COLUMNS, truth))
                raise UserError(f"{place}: no column '{column}'; a sequence table has {known} and more")
        for column in (truth, "group"):
            empty = table[column].isna().to_numpy() | (table[column].astype(str) == "").to_numpy()
            if empty.any():
                first = table["id"].iloc[int(empty.argmax())]
                raise UserError(
                    f"{place}: record '{first}': no {column} ({empty.sum():,} such records); run split_labels again"
                )
        values = table[truth].to_numpy()
        if truth == LABEL and (not np.issubdtype(values.dtype, np.integer) or values.min(initial=0) < 0):
            raise UserError(f"{place}: labels have to be whole numbers from 0; found {table[truth].dtype}")
        if truth == TARGET and not (np.issubdtype(values.dtype, np.floating) and np.isfinite(values).all()):
            raise UserError(f"{place}: targets have to be finite numbers; found {table[truth].dtype}")
        twice = table["id"].duplicated().to_numpy()
        if twice.any():
            raise UserError(
                f"{place}: the id '{table['id'].iloc[int(twice.argmax())]}' occurs twice; ids have to differ"
            )
        for name in table["id"]:
            if name in seen:
                raise UserError(f"{place}: the id '{name}' occurs in {seen[name]} too; ids have to differ")
        seen |= dict.fromkeys(table["id"], split)


def _check_facts(leakage: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> None:
    for split in SPLITS:
        stated = leakage.get("splits", {}).get(split, {}).get("records")
        if stated != len(tables[split]):
            raise UserError(
                f"--leakage: has {stated} {split} records, the table has {len(tables[split])}; run compare_splits again"
            )


def _by_label(tables: Mapping[str, pd.DataFrame]) -> dict[str, dict[int, int]]:
    """Records by split and label."""
    counts = {}
    for split, table in tables.items():
        labels, numbers = np.unique(table[LABEL].to_numpy(np.int64), return_counts=True)
        counts[split] = dict(zip(labels.tolist(), numbers.tolist(), strict=True))
    return counts
