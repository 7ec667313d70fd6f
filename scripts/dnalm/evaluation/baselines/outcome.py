"""What fitting a baseline gives."""

from dataclasses import dataclass
from typing import Any

from dnalm.tables.predictions import Predictions


@dataclass(frozen=True)
class Outcome:
    """A fitted baseline: predictions of all splits but train, and its settings and fits (`baseline` in run.json)."""

    predictions: dict[str, Predictions]
    record: dict[str, Any]
