"""The config's entries that a job's wildcards name."""

from typing import Protocol

from dnalm.config.datasets import Repeats, Table
from dnalm.config.root import Config


class Wildcards(Protocol):
    """The wildcards of a job; which are there depends on the rule."""

    def __getattr__(self, name: str) -> str:
        """The value of a wildcard."""
        ...


def repeats_of(config: Config, wildcards: Wildcards) -> Repeats:
    """The data set of a job, which is of kind repeats by the rule's constraint."""
    dataset = config.datasets[wildcards.dataset]
    if not isinstance(dataset, Repeats):
        raise TypeError(f"datasets.{wildcards.dataset} is not of kind repeats")
    return dataset


def table_of(config: Config, wildcards: Wildcards) -> Table:
    """The data set of a job, which is of kind table by the rule's constraint."""
    dataset = config.datasets[wildcards.dataset]
    if not isinstance(dataset, Table):
        raise TypeError(f"datasets.{wildcards.dataset} is not of kind table")
    return dataset
