"""Checks of what is compared over data sets: the leaderboard, and published figures."""

from collections.abc import Iterator, Mapping

from dnalm.config.messages import listing, nearest
from dnalm.config.root import Config
from dnalm.names import METRICS, SEQUENCE, TRUTH

BOUNDED = frozenset({"mcc", "accuracy", "macro_f1", "macro_precision", "macro_recall", "spearman", "pearson", "r2"})
"""Metrics that are at most 1."""


def dangling(config: Config) -> Iterator[str]:
    """Problems with the data sets that a leaderboard and published figures name."""
    known = config.datasets
    for title, names in config.evaluation.leaderboard.items():
        for name in names:
            if name not in known:
                yield f"evaluation.leaderboard.{title}: no entry '{name}'{nearest(name, known) or listing(known)}"
    for index, figure in enumerate(config.evaluation.published):
        if figure.dataset not in known:
            name = figure.dataset
            yield f"evaluation.published[{index}].dataset: no entry '{name}'{nearest(name, known) or listing(known)}"


def misplaced(config: Config) -> Iterator[str]:
    """Problems with references to one data set, leaderboards and published figures, of a config without `each`."""
    single = {f"evaluation.ladder[{index}]": name for index, name in enumerate(config.evaluation.ladder)}
    single |= {f"embeddings.{name}.dataset": embedding.dataset for name, embedding in config.embeddings.items()}
    for index, figure in enumerate(config.evaluation.published):
        single[f"evaluation.published[{index}].dataset"] = figure.dataset
    for place, name in single.items():
        if name not in config.datasets:
            yield f"{place}: '{name}' stands for several data sets; name one of them"
    yield from _leaderboard(config)
    for index, figure in enumerate(config.evaluation.published):
        place = f"evaluation.published[{index}]"
        truth = config.datasets[figure.dataset].truth
        metrics = [name for objective, column in TRUTH.items() if column == truth for name in METRICS[objective]]
        if figure.metric not in metrics:
            yield f"{place}.metric: '{figure.metric}' is not measured on '{figure.dataset}'; use {', '.join(metrics)}"
        if figure.metric in BOUNDED and abs(figure.value) > 1:
            yield f"{place}.value: {figure.value:g} is no {figure.metric}, which is at most 1; divide per cents by 100"


def _leaderboard(config: Config) -> Iterator[str]:
    groups: Mapping[str, list[str]] = config.evaluation.leaderboard
    seen: dict[str, str] = {}
    for title, names in groups.items():
        for name in names:
            place = f"evaluation.leaderboard.{title}"
            if name in seen:
                yield f"{place}: '{name}' is in '{seen[name]}' too; a data set counts once"
            seen[name] = title
            truth, first = (config.datasets[one].truth for one in (name, next(iter(seen))))
            if truth == SEQUENCE:
                yield f"{place}: '{name}' is a corpus; list data sets with labels, or with targets"
            if truth != first:
                yield f"{place}: the records of '{name}' have a {truth}, others a {first}; one metric is averaged"
    if len(seen) == 1:
        yield "evaluation.leaderboard: one data set is none to average over; list several, or leave it out"
