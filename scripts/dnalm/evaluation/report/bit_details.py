"""Details of a corpus: soft-masked against other bases, runs of another objective, and figures of whole genomes."""

from dnalm.evaluation.report.datacard import Column, Table
from dnalm.evaluation.report.descriptions import DESCRIPTIONS
from dnalm.evaluation.report.results import Dataset, Details, Group
from dnalm.evaluation.report.text import count, decimal, percent, signed
from dnalm.evaluation.report.views import ranked

WHOLE_GENOME = (
    ("JARVIS3", 1.381),
    ("GeCo3", 1.425),
    ("DNAGPT2", 1.47),
    ("MFCompress", 1.56),
    ("bzip2", 1.93),
)
"""Published bits per base of the whole of T2T-CHM13."""


def of_bits(dataset: Dataset) -> Details:
    """The sections of the page, values for its template, and tables to download."""
    if not dataset.groups:
        return Details({}, {})
    return Details({"tables": [table for table in (soft_masked(dataset), apart(dataset), published()) if table]}, {})


def soft_masked(dataset: Dataset) -> Table | None:
    """Bits per base of soft-masked and of other test bases; None without soft-masked ones."""
    every, soft, other = dataset.description.metrics
    groups = [group for group in ranked(dataset) if group.mean(soft.name) is not None]
    if not groups:
        return None
    rows = []
    for group in groups:
        values = [group.mean(metric.name) for metric in (every, soft, other)]
        bounds = [group.interval(metric.name) for metric in (soft, other)]
        shown = [
            metric.between(*pair) if pair else "withheld" for metric, pair in zip((soft, other), bounds, strict=True)
        ]
        metrics = group.runs[0].metrics
        rows.append(
            [
                group.name,
                decimal(values[1]),
                shown[0],
                decimal(values[2]),
                shown[1],
                signed((values[1] or 0.0) - values[2]) if values[2] is not None else "",
                percent(metrics["soft_masked_bases"], metrics["bases"]),
            ]
        )
    names = ["Run", "Soft-masked", "interval", "Other bases", "interval", "Difference", "Soft-masked share"]
    note = (
        "Bits per base. Soft-masked bases are mostly repeats, which a model can know from other copies in train: what"
        " it has learnt beyond copies shows on the other bases."
    )
    return Table("Soft-masked bases and others", note, list(map(Column, names)), rows)


def apart(dataset: Dataset) -> Table | None:
    """The runs whose figures are another quantity; None without any."""
    if not dataset.apart:
        return None
    rows = [_apart(group) for group in dataset.apart]
    columns = [Column("Run"), Column("What is measured", True), *map(Column, ("Test", "Interval", "Bases"))]
    note = (
        "A masked language model sees the bases on both sides of those that it fills in, and is scored on these alone:"
        " a smaller figure than that of a causal model or a baseline does not mean that it has learnt more."
    )
    return Table("Not comparable with the runs above", note, columns, rows)


def _apart(group: Group) -> list[str]:
    metric = DESCRIPTIONS[group.runs[0].objective].primary
    bounds = group.interval(metric.name)
    shown = metric.between(*bounds) if bounds else "withheld"
    return [
        group.name,
        metric.title,
        metric.text(group.mean(metric.name)),
        shown,
        count(group.runs[0].metrics["bases"]),
    ]


def published() -> Table:
    """Published figures of compressors and one model on a whole genome."""
    note = (
        "Bits per base of the whole of T2T-CHM13, by programs and a model that adapt to the sequence they compress,"
        " so that its second half profits from its first. The figures above are of held-out sequence and frozen models:"
        " a different quantity, so this table only gives the scale."
    )
    rows = [[name, decimal(value)] for name, value in WHOLE_GENOME]
    return Table("Published for a whole human genome", note, [Column("Compressor"), Column("Bits per base")], rows)
