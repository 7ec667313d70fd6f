"""What the numbers say, in plain words and no further than they go."""

from dataclasses import dataclass

from dnalm.evaluation.results import Dataset, Group
from dnalm.evaluation.text import decimal, percent, signed

LEVEL = 0.02
"""Differences of MCC below this are called level: there are no confidence intervals to tell them apart."""
_RULES = {
    "length_gc": "length and GC alone",
    "kmer": "a k-mer logistic regression",
    "periodicity": "one periodicity number",
}


@dataclass(frozen=True)
class Verdict:
    """`tone` is above, level, below or none; `headline` one sentence; `account` how it came about; `caveat` its limits."""

    tone: str
    headline: str
    account: str = ""
    caveat: str = ""


def verdict(dataset: Dataset) -> Verdict:
    """Compare, on test, the best model with the best baseline, both chosen by their mean MCC on validation."""
    model, baseline = _best(dataset.models), _best(dataset.baselines)
    if model is None:
        if baseline is None:
            return Verdict("none", "Nothing was run on this data set.")
        headline = (
            f"No language model was run here. The best baseline, {_rule(baseline)}, has a test MCC of {_mcc(baseline)}."
        )
        return Verdict("none", headline, _account("baseline", baseline), _caveat(baseline))
    if baseline is None:
        headline = f"{model.name} has a test MCC of {_mcc(model)}; no baseline was run to say whether that is much."
        return Verdict("none", headline, _account("model", model), _caveat(model))
    subject = "the best model" if len(dataset.models) > 1 else "the model"
    difference = (model.mean("mcc") or 0.0) - (baseline.mean("mcc") or 0.0)
    figures = f"(MCC {_mcc(model)} against {_mcc(baseline)})"
    if difference <= -LEVEL:
        tone, headline = "below", f"On this test set {subject} does not beat {_rule(baseline)} {figures}."
        meaning = (
            f"The difference is {signed(difference)} MCC: this rule separates these classes better than the model does."
        )
    elif difference < LEVEL:
        tone, headline = "level", f"On this test set {subject} is level with {_rule(baseline)} {figures}."
        meaning = f"The difference of {signed(difference)} MCC is too small to prefer either."
    else:
        tone, headline = "above", f"On this test set {subject} scores higher than {_rule(baseline)} {figures}."
        every = min(model.values("mcc")) > max(baseline.values("mcc"))
        meaning = f"The difference is {signed(difference)} MCC{'' if every else ', though not with every seed'}."
    account = f"{_account('model', model)} {_account('baseline', baseline)} {meaning}"
    return Verdict(tone, headline, account, _caveat(model))


def _best(groups: list[Group]) -> Group | None:
    """The group with the highest mean MCC on validation; of equal ones the first."""
    return max(groups, key=lambda group: group.mean("mcc", "validation") or 0.0, default=None)


def _rule(baseline: Group) -> str:
    return _RULES[baseline.runs[0].recipe]


def _mcc(group: Group) -> str:
    return decimal(group.mean("mcc"))


def _account(what: str, group: Group) -> str:
    """How a group was chosen and how it did."""
    values = group.values("mcc")
    spread = f" (mean of {len(values)} seeds, {decimal(min(values))} to {decimal(max(values))})" if values[1:] else ""
    return (
        f"The best {what} by validation MCC ({decimal(group.mean('mcc', 'validation'))}) is {group.name}:"
        f" test MCC {_mcc(group)}{spread}, accuracy {decimal(group.mean('accuracy'))}."
    )


def _caveat(group: Group) -> str:
    metrics = group.runs[0].metrics
    commonest = percent(max(metrics["n_per_class"].values()), metrics["n"])
    return (
        f"Always answering the commonest label would be right for {commonest} of the {metrics['n']:,} test records."
        " These are figures from one test set without confidence intervals: small differences may be chance."
    )
