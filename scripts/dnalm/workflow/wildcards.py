"""The config's entries that a job's wildcards name."""

from typing import Protocol, TypeVar, cast

from dnalm.config.chains import ancestors
from dnalm.config.corpora import Corpus
from dnalm.config.datasets import Dataset, Labelled, Repeats, Table
from dnalm.config.root import Config

Kind = TypeVar("Kind", bound=Dataset)


class Wildcards(Protocol):
    """The wildcards of a job; which are there depends on the rule."""

    def __getattr__(self, name: str) -> str:
        """The value of a wildcard."""
        ...


def first_of_chain(config: Config, wildcards: Wildcards) -> Wildcards:
    """The model that a job's model descends from and the data set that it is run on; of the job, if it is no run."""
    line = ancestors(config, wildcards.model)
    return cast("Wildcards", line[-1]) if line else wildcards


def repeats_of(config: Config, wildcards: Wildcards) -> Repeats:
    """The data set of a job, which is of kind repeats by the rule's constraint."""
    return _of(Repeats, "not of kind repeats", config, wildcards)


def table_of(config: Config, wildcards: Wildcards) -> Table:
    """The data set of a job, which is of kind table by the rule's constraint."""
    return _of(Table, "not of kind table", config, wildcards)


def labelled_of(config: Config, wildcards: Wildcards) -> Labelled:
    """The data set of a job, which is of labels or numbers by the rule's constraint."""
    return _of(Labelled, "without labels or numbers", config, wildcards)


def corpus_of(config: Config, wildcards: Wildcards) -> Corpus:
    """The data set of a job, which is of kind corpus by the rule's constraint."""
    return _of(Corpus, "not of kind corpus", config, wildcards)


def _of(kind: type[Kind], otherwise: str, config: Config, wildcards: Wildcards) -> Kind:
    dataset = config.datasets[wildcards.dataset]
    if not isinstance(dataset, kind):
        raise TypeError(f"datasets.{wildcards.dataset} is {otherwise}")
    return dataset
