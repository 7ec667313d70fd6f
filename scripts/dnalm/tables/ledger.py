"""The ledger: for each stage, records in = records kept + records dropped by named reason."""

from collections.abc import Iterable, Mapping
from typing import Any


def entry(stage: str, source: str, records_in: int, kept: int, dropped: Mapping[str, int]) -> dict[str, Any]:
    """One line of the ledger; reasons that dropped nothing are left out.

    Raises `AssertionError` if the sum does not hold, which is a bug and must never reach a manifest.
    """
    reasons = {reason: int(count) for reason, count in sorted(dropped.items()) if count}
    if records_in != kept + sum(reasons.values()):
        raise AssertionError(f"ledger of {stage}/{source}: {records_in} in, {kept} kept, dropped {reasons}")
    return {"stage": stage, "source": source, "in": int(records_in), "kept": int(kept), "dropped": reasons}


def merge(ledgers: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add up the lines of several ledgers, such as those of a genome's shards, that have the same stage and source."""
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    for line in (line for ledger in ledgers for line in ledger["ledger"]):
        total = sums.setdefault((line["stage"], line["source"]), {"in": 0, "kept": 0, "dropped": {}})
        total["in"] += line["in"]
        total["kept"] += line["kept"]
        for reason, count in line["dropped"].items():
            total["dropped"][reason] = total["dropped"].get(reason, 0) + count
    return [entry(stage, source, s["in"], s["kept"], s["dropped"]) for (stage, source), s in sums.items()]
