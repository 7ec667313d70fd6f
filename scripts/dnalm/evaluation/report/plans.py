"""What was declared before the test split was scored, and how often it was looked at under other plans."""

from dnalm.evaluation.report.results import Dataset
from dnalm.evaluation.report.text import plural


def declared(dataset: Dataset) -> str:
    """A sentence on the plan and its hash."""
    return f"Its plan (`plan.json`, SHA-256 {dataset.comparison['plan']['sha256'][:12]}…) was written before."


def looks(dataset: Dataset) -> list[str]:
    """A caution if the test split was compared under other plans before; empty at the first look."""
    plan = dataset.comparison["plan"]
    earlier = len(plan["earlier"])
    if not earlier:
        return []
    changed = [one["changed"] for one in (*plan["earlier"], plan) if one["changed"]]
    what = f" Since then: {'; then '.join(text.rstrip('.') for text in changed)}." if changed else ""
    return [
        f"The test split was looked at before, under {plural(earlier, 'other plan')}: p values and intervals are those"
        f" of a first look, which this is not.{what}"
    ]
