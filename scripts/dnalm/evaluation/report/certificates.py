"""What the certificate of a run's checkpoint says, in words: were its weights sound before training?"""

from typing import Any

from dnalm.evaluation.report.datacard import Column, Table
from dnalm.evaluation.report.results import Run
from dnalm.evaluation.report.text import decimal, listed, plural


def certificate(run: Run) -> Table | None:
    """The `certificate` in run.json as a table; None for a baseline and a model trained from random weights."""
    found = run.record.get("certificate")
    if not found:
        return None
    probes, tokenizer = found["probes"], found["tokenizer"]
    rows = [
        ["Missing weights", _missing(found["missing"])],
        ["Two loads", _loads(found["reload_difference"])],
        *_language_model(found["language_model"]),
        ["Tokenizer round trip", _round_trip(tokenizer["changed_by_round_trip"], probes["sequences"])],
        ["Unknown tokens", f"{tokenizer['unknown_tokens']:,} of {tokenizer['tokens']:,}"],
    ]
    note = (
        f"Checked before training on {plural(probes['sequences'], 'sequence')}"
        f" ({plural(probes['bases'], 'base')}) of {probes['split']} in {probes['dataset']}."
    )
    return Table("Certificate of the checkpoint", note, [Column("Check"), Column("Result", True)], rows)


def _missing(names: list[str]) -> str:
    return f"{len(names):,}, initialised at random: {listed(names)}" if names else "none"


def _loads(difference: float) -> str:
    return f"outputs differ by up to {difference:.3g}" if difference else "same outputs"


def _language_model(found: dict[str, Any] | None) -> list[list[str]]:
    """Loss per token against a uniform guess, and bits per base against a Markov chain if one was fitted."""
    if found is None:
        return [["Language-model loss", "not measured: the checkpoint has no language-model head"]]
    loss = f"{decimal(found['loss'])} nats per {found['objective']} token; a uniform guess has"
    rows = [["Language-model loss", f"{loss} {decimal(found['uniform_loss'])}"]]
    if found["markov_bits_per_base"] is not None:
        chain = f"a Markov chain of order {found['markov_order']} has {decimal(found['markov_bits_per_base'])}"
        rows.append(["Bits per base", f"{decimal(found['bits_per_base'])}; {chain}"])
    return rows


def _round_trip(changed: int | None, sequences: int) -> str:
    if changed is None:
        return "not measured: tokens overlap"
    return f"{changed:,} of {sequences:,} sequences changed"
