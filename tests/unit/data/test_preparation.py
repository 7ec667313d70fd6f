"""The four scripts of the preparation, from the command line and on real data."""

import json
import re

import numpy as np
import pandas as pd
import pysam
import pytest
from balanced import BALANCE
from script_runs import refused, run
from with_relatives import divided

from dnalm.config.stages.data import BalanceSettings, SplitLabelsSettings
from dnalm.data.balance import balance
from dnalm.data.positives import extract_positives
from dnalm.names import SPLITS
from dnalm.sequence.trf import best_repeats

DIVISION = {
    "related": {},
    "kind": "repeats", "method": "grouped", "fractions": {"train": 0.6, "validation": 0.2, "test": 0.2},
    "chromosomes": None, "seed": 42, "caps": dict.fromkeys(SPLITS), "given": False, "labels": None,
}  # fmt: skip
EXTRACT = {"format": "bed", "min_length": 26, "flank": 5, "deduplicate": True, "located": True}
COLUMNS = {"sequence_column": "sequence", "label_column": "label", "labels": None, "target_column": None}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(1)
    text = "".join(rng.choice(list("ACGT"), 20_000))
    (folder / "g.fa").write_text(f">c\n{text}\n")
    pysam.faidx(str(folder / "g.fa"))
    starts = np.arange(100, 10_000, 200)
    catalogue = {"id": [f"r{n}" for n in range(len(starts))], "chrom": "c", "start": starts, "end": starts + 40}
    nothing = {"sequence": None, "motif": None, "motif_length": None, "copies": None, "divergence": None}
    pd.DataFrame({**catalogue, **nothing}).to_parquet(folder / "catalogue.parquet")
    pd.DataFrame({"chrom": ["c"], "start": [10_000], "end": [20_000]}).to_parquet(folder / "pieces.parquet")
    gaps = {"chrom": "c", "start": np.append(0, starts + 40), "end": np.append(starts, len(text))}
    pd.DataFrame(gaps).to_parquet(folder / "context.parquet")
    pd.DataFrame({"chrom": [], "start": [], "end": []}).to_parquet(folder / "none.parquet")
    return folder


def relate(folder):
    done = run("relate", {}, records=folder / "r.parquet", output=folder / "relatives.parquet")
    assert done.returncode == 0, done.stderr
    return folder / "relatives.parquet"


def extract(inputs, folder, **spec):
    return run(
        "extract", {**EXTRACT, **spec}, catalogue=inputs / "catalogue.parquet", genome=inputs / "g.fa",
        output=folder / "p.parquet", ledger=folder / "p.json",
    )  # fmt: skip


def test_from_catalogue_to_splits_twice_the_same(inputs, tmp_path):
    made = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        assert extract(inputs, folder).returncode == 0
        pieces = [inputs / "pieces.parquet", inputs / "none.parquet"]
        done = run(
            "balance", BALANCE, positives=folder / "p.parquet", genome=inputs / "g.fa", unique=pieces, interspersed=[],
            context=inputs / "context.parquet", output=folder / "r.parquet", ledger=folder / "r.json",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        tables = {split: folder / f"{split}.parquet" for split in SPLITS}
        done = run(
            "split_labels", DIVISION, records=folder / "r.parquet", ledgers=[folder / "p.json", folder / "r.json"],
            relatives=relate(folder), **tables, manifest=folder / "manifest.json",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        made.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert made[0] == made[1]
    assert len(made[0]) == 9
    manifest = json.loads(made[0]["manifest.json"])
    assert [line["stage"] for line in manifest["ledger"]] == ["extract"] + ["balance"] * 3 + ["split_labels"] * 3
    assert sum(len(pd.read_parquet(path)) for path in tables.values()) == 100
    assert len({one["sha256"] for one in manifest["splits"].values()}) == 3


def test_motif_families_stay_whole_though_the_catalogue_gives_no_motifs(tmp_path):
    """40 families of three perfect arrays of different length and phase, as a BED file would list them."""
    rng = np.random.default_rng(4)
    parts, rows, at = [], [], 0
    for family in range(40):
        unit = "".join(rng.choice(list("ACGT"), rng.integers(12, 40)))
        for copy, copies in enumerate((3, 7, 12)):
            turn = int(rng.integers(len(unit)))
            array = (unit[turn:] + unit[:turn]) * copies
            parts += ["".join(rng.choice(list("ACGT"), 600)), array]
            rows.append((f"f{family:02d}-{copy}", at + 600, at + 600 + len(array)))
            at += 600 + len(array)
    (tmp_path / "g.fa").write_text(f">c\n{''.join(parts)}\n")
    pysam.faidx(str(tmp_path / "g.fa"))
    catalogue = pd.DataFrame(rows, columns=["id", "start", "end"]).assign(chrom="c", sequence=None, motif=None)
    catalogue.assign(motif_length=None, copies=None, divergence=None).to_parquet(tmp_path / "catalogue.parquet")
    gaps = {"chrom": "c", "start": [0, *(end for _, _, end in rows[:-1])], "end": [start for _, start, _ in rows]}
    pd.DataFrame(gaps).to_parquet(tmp_path / "pieces.parquet")
    assert extract(tmp_path, tmp_path, flank=0).returncode == 0
    spec = {**BALANCE, "flank": 0, "match": ["length"], "negatives": {"unique": 1.0}}
    done = run(
        "balance", spec, positives=tmp_path / "p.parquet", genome=tmp_path / "g.fa", unique=tmp_path / "pieces.parquet",
        output=tmp_path / "r.parquet", ledger=tmp_path / "r.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tables = {split: tmp_path / f"{split}.parquet" for split in SPLITS}
    done = run(
        "split_labels", DIVISION, records=tmp_path / "r.parquet", ledgers=[tmp_path / "p.json", tmp_path / "r.json"],
        relatives=relate(tmp_path),
        **tables, manifest=tmp_path / "manifest.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = pd.concat([pd.read_parquet(path).assign(split=split) for split, path in tables.items()])
    arrays = records[records["label"] == 1]
    assert len(arrays) > 100
    assert (arrays.groupby(arrays["id"].str[:3])["split"].nunique() == 1).all()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["groups"]["motifs_inferred"] == 120
    assert manifest["groups"]["motifs_missing"] == 0
    assert any("gives no motif" in line for line in manifest["groups"]["definition"])


def test_a_table_from_csv_to_splits(tmp_path):
    rng = np.random.default_rng(1)
    rows = [f"{''.join(rng.choice(list('acgt'), 40))},{n % 2}" for n in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["sequence,label", *rows]) + "\n")
    spec = {"parts": ["all"], "file_labels": [None], **COLUMNS}
    outputs = {"output": tmp_path / "r.parquet", "ledger": tmp_path / "r.json"}
    assert run("import_table", spec, files=tmp_path / "t.csv", **outputs).returncode == 0
    tables = {split: tmp_path / f"{split}.parquet" for split in SPLITS}
    done = run(
        "split_labels", {**DIVISION, "kind": "table"}, records=tmp_path / "r.parquet", ledgers=tmp_path / "r.json",
        relatives=relate(tmp_path),
        **tables, manifest=tmp_path / "manifest.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [len(pd.read_parquet(path)) for path in tables.values()] == [36, 12, 12]
    assert json.loads((tmp_path / "manifest.json").read_text())["ambiguous"] == {"all": 0}


def test_wrong_input_is_one_line_and_leaves_nothing(inputs, tmp_path):
    outputs = {"output": tmp_path / "out.parquet", "ledger": tmp_path / "out.json"}
    done = extract(inputs, tmp_path, min_length=41)
    refused(
        done,
        r"catalogue.parquet: none of 50 arrays is left.*\(50 shorter than min_length \(41\)\)",
        tmp_path / "p.parquet",
        tmp_path / "p.json",
    )
    assert extract(inputs, tmp_path).returncode == 0
    common = {"positives": tmp_path / "p.parquet", "genome": inputs / "g.fa", **outputs}
    done = run("balance", BALANCE, unique=inputs / "none.parquet", context=inputs / "context.parquet", **common)
    refused(done, "no unmasked piece of 40 bases.*lower min_length or mask less", *outputs.values())
    (tmp_path / "t.csv").write_text("sequence,label\nACGT,0\nACXT,1\n")
    done = run(
        "import_table", {"parts": ["all"], "file_labels": [None], **COLUMNS}, files=tmp_path / "t.csv", **outputs
    )
    refused(done, r"t.csv, line 3: 'X' is no nucleotide", *outputs.values())


def runs_of(mask, shortest):
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    starts, ends = edges[::2], edges[1::2]
    long = ends - starts >= shortest
    return pd.DataFrame({"chrom": "chr2", "start": starts[long], "end": ends[long]})


def test_chr2(shared, tmp_path):
    data = shared / "data/vntr_hg38_chr2"
    calls = re.findall(
        r"^\S+\t\d+\t(\S+)\t[ACGT]([ACGT]+)\t.*RC=([\d.]+).*RCP=([ACGT]+)",
        (data / "VNTRseek_NA19240_ERX283215.vcf").read_text(), re.MULTILINE,
    )  # fmt: skip
    catalogue = pd.DataFrame(calls, columns=["id", "sequence", "copies", "motif"]).astype({"copies": float})
    catalogue = catalogue.assign(
        chrom=None, start=None, end=None, motif_length=catalogue["motif"].str.len(), divergence=None
    )
    assert len(catalogue) == 3737
    positives, dropped = extract_positives(catalogue, "vntrseek", None, 26, 0, True)
    assert dropped == {"duplicate sequence": 7, "shorter than min_length (26)": 14}

    fasta = tmp_path / "chr2.fa.gz"
    fasta.write_bytes((data / "chr2_1-2333275.fa.gz").read_bytes())
    pysam.faidx(str(fasta))
    with pysam.FastaFile(str(fasta)) as genome:
        unmasked = np.isin(np.frombuffer(genome.fetch("chr2").encode(), np.uint8), np.frombuffer(b"ACGT", np.uint8))
        tandem = np.zeros(len(unmasked), bool)
        for line in (data / "danbing-tk_hg38_chr2.bed").read_text().splitlines():
            tandem[slice(*map(int, line.split("\t")[1:3]))] = True
        pieces = {"unique": runs_of(unmasked & ~tandem, 26)}
        settings = BalanceSettings(negatives={"unique": 1.0}, flank=0, zones=None)
        records, ledger = balance(positives, pieces, None, genome, settings)
    kept = ledger["ledger"][0]["kept"]
    assert 2866 <= kept < 3716
    assert ledger["kept_vs_dropped"]["gc"]["dropped"]["median"] < 0.2  # the drops are AT-rich
    negatives = records[records["label"] == 0]
    assert len(negatives) == kept
    assert records["sequence"].str.len().min() >= 26
    assert not any(tandem[start:end].any() for start, end in zip(negatives["start"], negatives["end"], strict=True))
    ordered = negatives.sort_values("start")
    assert (ordered["start"].to_numpy()[1:] >= ordered["end"].to_numpy()[:-1]).all()

    tables, manifest = divided(records, [ledger], SplitLabelsSettings(**DIVISION))
    together = pd.concat([table.assign(split=split) for split, table in tables.items()])
    assert len(together) == 2 * kept
    assert (together.groupby("group")["split"].nunique() == 1).all()
    assert 0.3 < manifest["groups"]["largest_fraction"] < 0.4
    for split, fraction in DIVISION["fractions"].items():
        for count in manifest["splits"][split]["labels"].values():
            assert abs(count - fraction * kept) <= 1
    found = best_repeats(negatives["sequence"].tolist())
    assert found is None or 0.04 < np.mean([repeat is not None for repeat in found]) < 0.09


@pytest.mark.parametrize(
    ("name", "rows", "common"),
    [("tf/0", [32378, 1000, 1000], [1, 0]), ("prom/prom_core_all", [47356, 5920, 5920], [54, 42])],
)
def test_gue(shared, tmp_path, name, rows, common):
    files = [shared / "data/gue" / name / f"{part}.csv" for part in ("train", "dev", "test")]
    outputs = {"output": tmp_path / "r.parquet", "ledger": tmp_path / "r.json"}
    assert (
        run(
            "import_table", {"parts": list(SPLITS), "file_labels": [None] * 3, **COLUMNS}, files=files, **outputs
        ).returncode
        == 0
    )
    records = pd.read_parquet(tmp_path / "r.parquet")
    settings = SplitLabelsSettings(**{**DIVISION, "kind": "table", "given": True})
    tables, manifest = divided(records, [], settings)
    assert [len(tables[split]) for split in SPLITS] == rows
    assert [manifest["shared_sequences"][pair] for pair in ("train/validation", "train/test")] == common
