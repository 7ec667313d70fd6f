"""What a mean over seeds would hide: runs that collapsed, and seeds that differ."""

from collections.abc import Sequence

from dnalm.evaluation.report.descriptions import Description
from dnalm.evaluation.report.results import Dataset, Group, Run
from dnalm.evaluation.report.text import listed


def remarks(dataset: Dataset) -> list[str]:
    """A sentence for each model that collapsed with some seed, or whose seeds differ more than intervals allow."""
    said = []
    for group in dataset.models:
        said += [
            f"{group.name}: {text}"
            for text in (collapsed(group, dataset.description), _differing(group, dataset), _repeated(group))
            if text
        ]
    return said


def collapsed(group: Group, description: Description) -> str:
    """Which runs of a group collapsed, and the mean with and without them; empty if none does."""
    if not group.collapsed:
        return ""
    said = f"{_seeds(group.collapsed)} collapsed: {description.collapse[0]}"
    rest = Group([run for run in group.runs if not run.collapsed])
    if not rest.runs:
        return f"{said}."
    metric = description.primary
    kept = f"{len(rest.runs)} of {len(group.runs)} seeds"
    return (
        f"{said}. The mean test {metric.prose} of all {len(group.runs)} seeds is"
        f" {metric.text(group.mean(metric.name))}, that of the other {kept} {metric.text(rest.mean(metric.name))}."
    )


def brief(group: Group, description: Description) -> str:
    """The same as a note below a name: `mean of 5 seeds; seed 3 collapsed, 0.712 without it`."""
    several = f"mean of {len(group.runs)} seeds" if len(group.runs) > 1 else ""
    if _repeated(group):
        several = f"{len(group.runs)} seeds, the same run"
    if not group.collapsed:
        return several
    rest = Group([run for run in group.runs if not run.collapsed])
    if not several:
        return f"collapsed: {description.collapse[1]}"
    if not rest.runs:
        return f"{several}, all collapsed"
    metric = description.primary
    without = f"{metric.text(rest.mean(metric.name))} without {'it' if len(group.collapsed) == 1 else 'them'}"
    return f"{several}; {_seeds(group.collapsed)} collapsed, {without}"


def _differing(group: Group, dataset: Dataset) -> str:
    """The best and the worst seed, if their intervals do not overlap; collapsed ones are named on their own."""
    metric = dataset.description.primary
    known = [
        (run.metrics[metric.name], run.metrics["intervals"].get(metric.name), run.seed)
        for run in group.runs
        if run.metrics[metric.name] is not None and not run.collapsed
    ]
    if len(known) < 2:
        return ""
    (low, below, worst), (high, above, best) = min(known, key=_value), max(known, key=_value)
    if not below or not above or below["high"] >= above["low"]:
        return ""
    return (
        f"seeds {worst} and {best} differ by {metric.text(high - low)} in test {metric.prose}"
        f" ({metric.text(low)} and {metric.text(high)}), and their intervals do not overlap: one seed tells little."
    )


def _repeated(group: Group) -> str:
    """That the seeds of a probe are one run: its vectors are frozen, its fit has one optimum; empty if they are not."""
    if group.is_baseline or len(group.runs) < 2 or not group.runs[0].pretrained:
        return ""
    recipe = group.runs[0].record["spec"]["recipe"]
    if recipe["method"] != "probe":
        return ""
    limit = recipe.get("max_train_records")
    if limit is not None and limit < group.runs[0].record["counts"]["train"]["records"]:
        return ""
    return (
        f"its {len(group.runs)} seeds are the same run, because nothing in a probe of pre-trained weights is random:"
        " that they agree says nothing about how certain the score is."
    )


def _value(known: tuple[float, object, int]) -> float:
    return known[0]


def _seeds(runs: Sequence[Run]) -> str:
    numbers = [str(run.seed) for run in runs]
    return f"seed{'s' if len(numbers) > 1 else ''} {listed(numbers)}"
