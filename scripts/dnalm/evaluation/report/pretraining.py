"""What a pre-trained model may have seen before: known of a run of this workflow, not of a published checkpoint."""

import re

from dnalm.evaluation.report.results import Dataset, Group
from dnalm.evaluation.report.text import between, listed, signed


def seen_before(dataset: Dataset) -> str:
    """A few sentences on the models that begin from a checkpoint, and their random twins; empty without such models."""
    groups = [group for group in dataset.models if group.runs[0].pretrained]
    if not groups:
        return ""
    models = list(dict.fromkeys(group.runs[0].model for group in groups))
    of_runs = [one for one in models if any(group.runs[0].model == one and _begins_with_run(group) for group in groups)]
    others = [one for one in models if one not in of_runs]
    sentences = []
    if others:
        begin = "begins" if len(others) == 1 else "begin"
        sentences.append(
            f"{listed(others)} {begin} from pre-trained weights, and what those were trained on is not known to this"
            " workflow: test sequences of a public genome were probably among it, so a score may in part be memory."
        )
    if of_runs:
        begin = "begins" if len(of_runs) == 1 else "begin"
        sentences.append(
            f"{listed(of_runs)} {begin} with another run of this workflow: the audit (`pretraining`) counts the test"
            " records that its corpus holds."
        )
    said = " ".join(sentences)
    tested = [one for one in dataset.comparison["twins"] if one["model"] in models]
    gains = [
        f"{one['model']} · {one['recipe']} {signed(one['difference'])}"
        + ("" if one["low"] is None else f" ({between(one['low'], one['high'])})")
        for one in tested
    ]
    if gains:
        metric = dataset.description.metric(tested[0]["metric"]).prose
        return f"{said} Difference in {metric} from the same architecture without the pre-training: {'; '.join(gains)}."
    if names := list(dict.fromkeys(twin.name for group in groups for twin in twins(dataset, group))):
        return f"{said} Compare with {listed(names)}, the same architecture from random weights."
    return f"{said} Compare with the same architecture from random weights (`initialisation: random`)."


def _begins_with_run(group: Group) -> bool:
    """Whether its model is that of another run, rather than a checkpoint."""
    return re.search(r"/seed\d+$", group.runs[0].record["spec"]["checkpoint"] or "") is not None


def twins(dataset: Dataset, group: Group) -> list[Group]:
    """The groups of the same architecture and tokenizer that begin from random weights."""
    checkpoint = group.runs[0].record["spec"]["checkpoint"]
    return [
        other
        for other in dataset.models
        if not other.runs[0].pretrained and other.runs[0].record.get("spec", {}).get("checkpoint") == checkpoint
    ]
