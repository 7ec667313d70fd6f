"""Labels that follow chromosome, place, strand, batch or order are found; what is by design or unknown is left alone."""

import re

import numpy as np
import pytest
from audited import divided, leakage, subject
from planted import PLANTS, simulate

from dnalm.evaluation.audit.family import correct
from dnalm.evaluation.audit.findings import audit
from dnalm.evaluation.audit.origin import find_origins, origin
from dnalm.tables.sequences import LOCUS

EVERY = {"chromosome", "place", "strand", "batch", "order"}


def judged(table, kind="table", **more):
    about = subject(kind, **more)
    (found,) = correct(find_origins(about, table))
    return origin(about, found, table)


def status_of(check):
    return {one["probe"]: one["status"] for one in check["details"]["origins"]}


EXPECTED = {
    "negatives from 2.3 Mb of one chromosome": {"chromosome", "place"},
    "negatives from a fifth of the chromosome": {"place"},
    "half of the negatives from one batch": {"batch"},
    "half of the negatives on one strand": {"strand"},
    "positives late in the table": {"order"},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_planted_origin_is_found_and_no_other(name):
    check = judged(simulate(600, 1, plant=PLANTS[name][1]))
    found = {probe for probe, status in status_of(check).items() if status != "pass"}
    assert found == EXPECTED[name], check["found"]
    assert check["status"] == ("warn" if found & {"order", "strand"} else "fail")


def test_where_the_classes_lie_is_said():
    check = judged(simulate(600, 1, plant=PLANTS["negatives from 2.3 Mb of one chromosome"][1]))
    assert re.search(r"label 0 \(no\): \d+ records, all from 50\.\d to 52\.\d Mb of chr2", check["found"])
    assert re.search(r"label 1 \(yes\): \d+ records, from 7 chromosomes", check["found"])


def test_arrays_placed_on_another_assembly_are_compared_by_their_own_locus():
    """Arrays of a catalogue without a genome have their own locus; the sources of kind repeats are by design."""
    table = simulate(600, 1).drop(columns=["batch"])
    array = (table["label"] == 1).to_numpy()
    for name, column in zip(LOCUS, ("chrom", "start", "start"), strict=True):
        table[name] = table[column].where(array).astype("Int64" if column == "start" else "str")
    table[["chrom", "source"]] = table[["chrom", "source"]].astype(object)
    table["start"] = table["start"].astype("Int64")
    table.loc[array, ["chrom", "strand"]] = None, None
    table.loc[array, "start"] = None
    table.loc[~array, ["chrom", "source"]] = "2", "unique"
    check = judged(table, "repeats")
    assert status_of(check)["chromosome"] == "fail" and set(status_of(check)) == {"chromosome", "place"}
    assert "`datasets.d.genome`" in check["fix"]


def test_a_table_sorted_by_class_says_nothing_and_an_unknown_origin_is_left_out():
    table = simulate(400, 2).drop(columns=["chrom", "start", "strand", "batch"]).sort_values("label", kind="stable")
    table["id"] = [f"table-{row:06d}" for row in range(len(table))]
    assert judged(table) is None
    table["batch"] = np.where(table["label"] == 1, "a", None)  # known of one class alone
    assert judged(table) is None


def test_clean_origins_pass_with_targets_too():
    check = judged(simulate(400, 3))
    assert check["status"] == "pass" and set(status_of(check)) == EVERY
    check = judged(simulate(400, 3, truth="target"), truth="target")
    assert check["status"] == "pass" and not re.search(r"label|class|negative", f"{check['found']}{check['fix']}")


def test_the_audit_reads_the_columns():
    tables = divided(simulate(600, 1, plant=PLANTS["half of the negatives from one batch"][1]))
    found = {check["name"]: check for check in audit(subject(), tables, leakage(tables), {})["checks"]}
    assert "the batch (AUROC" in found["origin"]["found"]
