"""Stages that read a data set's relatives, called with those that are found among its records."""

import pandas as pd

from dnalm.config.datasets import Related
from dnalm.config.stages.data import CompareSplitsSettings
from dnalm.data.divide import divide
from dnalm.data.groups import group_records
from dnalm.data.leakage import compare
from dnalm.data.relatives import find_relatives

RELATED = Related()


def grouped(records, largest=1.0):
    """The group of each record."""
    return group_records(records, find_relatives(records, RELATED), largest).groups


def divided(records, ledgers, settings):
    """The splits of records, and their manifest."""
    return divide(records, find_relatives(records, RELATED), ledgers, settings)


def compared(tables, catalogues, kind, called=None):
    """What the splits share; called: whether TRF calls a repeat in each record."""
    relatives = find_relatives(pd.concat(tables.values(), ignore_index=True), RELATED)
    return compare(tables, relatives, catalogues, called, CompareSplitsSettings(kind=kind, related=RELATED))
