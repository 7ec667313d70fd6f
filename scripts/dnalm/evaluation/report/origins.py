"""The part of the report on how results were made: programs, machines, times and files."""

from typing import Any

from dnalm.evaluation.report.certificates import certificate
from dnalm.evaluation.report.datacard import Column, Table
from dnalm.evaluation.report.results import Dataset, Run
from dnalm.evaluation.report.text import MISSING, as_yaml, count, decimal, duration, energy
from dnalm.evaluation.report.views import run_name


def overview(dataset: Dataset) -> Table:
    """One row per run: device, time, energy, size, batching, weights, commit."""
    rows = []
    for group, run in dataset.members:
        record = run.record
        rows.append(
            [
                run_name(run, group),
                record["device"],
                duration(record["seconds"]),
                energy(record.get("training_joules")),
                count(record.get("parameters")),
                count(record.get("trainable_parameters")),
                _engine(record),
                _weights(record),
                _commit(record),
            ]
        )
    columns = [
        Column("Run"),
        Column("Device", True),
        Column("Time"),
        Column("Energy of the GPUs"),
        Column("Parameters"),
        Column("trained"),
        Column("Batches", True),
        Column("Weights, SHA-256", True),
        Column("Commit", True),
    ]
    filled = [i for i in range(len(columns)) if any(row[i] != MISSING for row in rows)]
    note = "Weights and commits are shortened to 12 digits; the full ones are in the records below."
    return Table("Runs", note, [columns[i] for i in filled], [[row[i] for i in filled] for row in rows])


def _commit(record: dict[str, Any]) -> str:
    """The commit, shortened, and whether there were uncommitted changes."""
    digits, _, edited = (record.get("commit") or "").partition("+")
    return digits[:12] + (f" + {edited}" if edited else "") if digits else MISSING


def _engine(record: dict[str, Any]) -> str:
    engine = record.get("engine")
    if not engine:
        return MISSING
    return f"{engine['kind']} ({engine['because']}; {decimal(100 * engine['padding'], 1)} % padding)"


def _weights(record: dict[str, Any]) -> str:
    found = [value for name, value in sorted(record.get("files", {}).items()) if name.endswith(".safetensors")]
    more = f" and {len(found) - 1} more" if found[1:] else ""
    return f"{found[0][:12]}{more}" if found else MISSING


def records(dataset: Dataset) -> list[dict[str, Any]]:
    """Each run: a line on what it is, where and how long it ran, its checkpoint's certificate, and run.json as text."""
    result: list[dict[str, Any]] = []
    for group, run in dataset.members:
        record = run.record
        what = _baseline(record["baseline"]) if run.is_baseline else _model(run)
        time = f"{duration(record['seconds'])} on {record['device']}"
        about = {"name": run_name(run, group), "what": what, "time": time, "text": as_yaml(record)}
        result.append(about | {"certificate": certificate(run)})
    return result


def _baseline(baseline: dict[str, Any]) -> str:
    chosen = ", ".join(f"{name} = {_short(value)}" for name, value in sorted(baseline["chosen"].items()))
    return f"{baseline['description']}{f'; {chosen}' if chosen else ''}"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _model(run: Run) -> str:
    record = run.record
    checkpoint = record["spec"]["checkpoint"]
    if not checkpoint:
        origin = "from random weights"
    elif record["spec"].get("initialisation") == "random":
        origin = f"from random weights, in the architecture of {checkpoint}"
    else:
        origin = f"from {checkpoint}"
    facts = [f"{record['parameters']:,} parameters", origin, f"seed {run.seed}"]
    if record["trainable_parameters"] not in (0, record["parameters"]):
        facts.insert(1, f"{record['trainable_parameters']:,} of them trained")
    if record["max_tokens"] is not None:
        facts.insert(1, f"at most {record['max_tokens']:,} tokens")
    return ", ".join(facts)
