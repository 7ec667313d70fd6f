"""Nothing that a config says is executed: names are refused or quoted, wherever they end up."""

import copy
import csv
import re
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT
from markdown_it import MarkdownIt

from dnalm.config.loading import load_config
from dnalm.errors import UserError

HOSTILE = (
    "a b",
    "$(touch x)",
    "`touch x`",
    "../x",
    "..",
    ".",
    "/x",
    "<script>",
    "a;touch x",
    "-x",
    "x\n",
    "{x}",
    "a'b",
    'a"b',
    "a&b",
    "a|b",
    "*",
    "~",
    "é",
    "",
)
CONFIG = {
    "genomes": {"g": {"simulate": {"chromosomes": 1, "length": 10000}}, "given": {"path": "g.fa"}},
    "catalogues": {
        "c": {"genome": "g", "simulated": True},
        "bed": {"genome": "given", "format": "bed", "path": "c.bed"},
    },
    "datasets": {
        "d": {"kind": "repeats", "genome": "g", "catalogue": "c"},
        "e": {"kind": "repeats", "genome": "given", "catalogue": "bed"},
        "t": {"kind": "table", "path": "t.csv", "labels": {0: "no", 1: "yes"}},
    },
    "models": {"m": {"checkpoint": "base"}},
    "recipes": {"r": {}},
    "runs": [{"dataset": "t", "model": "m", "recipe": "r"}],
}
FILES = ("g.fa", "c.bed", "t.csv", "base/config.json", "base/model.safetensors", "base/tokenizer.json")


def prepare(directory, config, names=FILES):
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()
    (directory / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True))
    return directory / "config.yaml"


def renamed(section, old, new):
    config = copy.deepcopy(CONFIG)
    config[section][new] = config[section].pop(old)
    for dataset in config["datasets"].values():
        for key in ("genome", "catalogue"):
            if section == f"{key}s" and dataset.get(key) == old:
                dataset[key] = new
    for catalogue in config["catalogues"].values():
        if section == "genomes" and catalogue["genome"] == old:
            catalogue["genome"] = new
    for run in config["runs"]:
        if run.get(section.removesuffix("s")) == old:
            run[section.removesuffix("s")] = new
    return config


@pytest.fixture(scope="module")
def load():
    """Validate a config without files; the message in which it is refused, or None."""

    def load(config):
        try:
            load_config(config, check_paths=False)
        except UserError as error:
            return str(error)
        return None

    return load


def test_the_config_of_these_tests_is_right(load):
    assert load(CONFIG) is None


@pytest.mark.parametrize(
    ("section", "old"), [("genomes", "g"), ("catalogues", "c"), ("datasets", "t"), ("models", "m"), ("recipes", "r")]
)
def test_no_entry_is_called_so(load, section, old):
    messages = {name: load(renamed(section, old, name)) for name in HOSTILE}
    taken = [name for name, said in messages.items() if said is None or "it must match" not in said or "\n" in said]
    assert not taken, {name: messages[name] for name in taken}


def test_no_revision_is_called_so_and_no_hub_model(load):
    config = copy.deepcopy(CONFIG)
    for name in HOSTILE:
        config["models"]["m"] = {"checkpoint": "owner/name", "revision": name}
        assert load(config) is not None, name
    places = [place for name in HOSTILE if name for place in (name, f"owner/{name}", f"{name}/name")]
    for checkpoint in (*places, "a/b/c", "a--b/c"):
        config["models"]["m"] = {"checkpoint": checkpoint, "revision": "main"}
        message = load(config)
        assert message is not None and message.startswith("models.m"), checkpoint


TEXTS = {
    "genomes.given.path": "given",
    "catalogues.bed.path": "c",
    "datasets.t.path": "t",
    "datasets.t.sequence_column": "s",
    "datasets.t.label_column": "l",
    "datasets.t.labels.0": "no",
    "models.m.checkpoint": "base",
}


@pytest.mark.parametrize("key", TEXTS)
def test_no_control_character_in_any_text(load, key):
    config = copy.deepcopy(CONFIG)
    node, *_, last = config, *key.split(".")
    for part in key.split(".")[:-1]:
        node = node[part]
    for value in ("a\nb", "a\x00b", "a\x1b[2Jb", "a\rb", "a\x9b2Jb"):
        node[int(last) if last.isdigit() else last] = value
        place = key.replace(".0", "[0]")
        assert load(config) == f"{place}: {value!r} holds a line break or another control character"


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftps://x/y", "data:text/plain,x", "/etc/passwd", "javascript:x", "http://x/\n"]
)
def test_only_addresses_of_the_network(load, url):
    for section, entry in (("genomes", {"url": url}), ("catalogues", {"format": "vntrseek", "url": url})):
        config = copy.deepcopy(CONFIG)
        config[section]["new"] = entry
        assert load(config).startswith(f"{section}.new")


@pytest.mark.parametrize("path", ["<script>", "{x}", "a{wildcards}"])
def test_no_path_is_filled_in_by_snakemake(tmp_path, monkeypatch, path):
    config = copy.deepcopy(CONFIG)
    config["datasets"]["t"]["path"] = path
    prepare(tmp_path, config, [*FILES, path])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=re.escape(f"datasets.t.path: a path cannot hold braces or angle brackets: {path}")
    ):
        load_config(config)


def test_a_path_is_no_option_of_the_program_that_reads_it(snakemake, tmp_path):
    config = copy.deepcopy(CONFIG)
    config["datasets"]["t"]["path"] = "--output"
    (tmp_path / "--output").touch()
    result = snakemake("--dry-run", "--configfile", prepare(tmp_path, config))
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "error: config: datasets.t.path: '--output' would be taken for an option; give its whole path"
    )


PATHS = (
    "a b/$(touch x)",
    "`touch x`",
    "a;touch x",
    "x' || touch x '",
    'x" && touch x "',
    "a & touch x",
    "é",
    "-x/../y",
    "~",
    "*",
    "a\\b",
)


def test_paths_are_quoted(snakemake, tmp_path):
    """Each is planned as it is written, in one config, and the shell commands hold each as one word."""
    import shlex

    config = copy.deepcopy(CONFIG)
    config["datasets"] = {f"t{i}": {"kind": "table", "path": f"d/{path}"} for i, path in enumerate(PATHS)}
    config["models"] = {f"m{i}": {"checkpoint": f"m/{path}"} for i, path in enumerate(PATHS)}
    config["runs"] = [{"dataset": f"t{i}", "model": f"m{i}", "recipe": "r"} for i in range(len(PATHS))]
    names = [*FILES, *(f"d/{path}" for path in PATHS)]
    names += [f"m/{path}/{file}" for path in PATHS for file in ("config.json", "model.safetensors", "tokenizer.json")]
    (tmp_path / "d/-x").mkdir(parents=True)
    (tmp_path / "m/-x").mkdir(parents=True)
    result = snakemake("--dry-run", "--printshellcmds", "--configfile", prepare(tmp_path, config, names))
    assert result.returncode == 0, result.stderr
    assert not list(tmp_path.rglob("x"))
    commands = [line.strip() for line in (result.stdout + result.stderr).splitlines() if "--spec -" in line]
    words = [shlex.split(command) for command in commands]
    for i, path in enumerate(PATHS):
        assert any(f"results/t{i}/preparation/records.parquet" in found and f"d/{path}" in found for found in words)
        training = [f for f in words if f"results/t{i}/runs/m{i}/r/seed1/model" in f and "--checkpoint" in f]
        assert [found[found.index("--checkpoint") + 1] for found in training] == [f"m/{path}"]


LABELS = {
    0: "<script>alert(1)</script>",
    1: "$(touch x) `touch x` \"q\" 'q' [a](javascript:x) **b** | c ](",
    2: "`<img src=x>",
}
CHROMOSOME = "<script>$(touch${IFS}x)'\"`"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run to the report, whose labels, chromosome, repeat names, folders and files are called as badly as can be."""
    import random

    from small_models import masked_lm_checkpoint, small_tokenizer

    directory = tmp_path_factory.mktemp("hostile $(touch x) 'a' \"b\"")
    dice = random.Random(1)
    dna = lambda length: "".join(dice.choices("ACGT", k=length))  # noqa: E731
    place = directory / "$(touch x) && `touch x`"
    place.mkdir()
    motifs = ("", "TATATAAGGC", "GGCCGGATCC")
    rows = [
        (dna(30) + motifs[i % 3] + dna(30), f'"{LABELS[i % 3]}"' if '"' not in LABELS[i % 3] else i % 3)
        for i in range(180)
    ]
    (place / "t;touch x.csv").write_text("".join(f"{a},{b}\n" for a, b in [("sequence", "label"), *rows]))
    genome, bed = "", []
    for i in range(60):
        genome += dna(400)
        unit = dna(dice.randint(8, 20)) * 4
        bed.append(f"{CHROMOSOME}\t{len(genome)}\t{len(genome) + len(unit)}\t<script>{i}$(touch x)\n")
        genome += unit
    (directory / "g.fa").write_text(f">{CHROMOSOME} more\n{genome}\n>other\n{dna(30_000)}\n")
    (directory / "c.bed").write_text("".join(bed))
    masked_lm_checkpoint(place / "base' `touch x`", small_tokenizer(), trained=True)
    config = {
        "genomes": {"g": {"path": "g.fa"}},
        "catalogues": {"c": {"genome": "g", "format": "bed", "path": "c.bed"}},
        "datasets": {
            "r": {
                "kind": "repeats", "genome": "g", "catalogue": "c", "negatives": {"shuffled": 1},
                "baselines": ["majority"], "background": 0,
            },
            "t": {"kind": "table", "path": f"{place.name}/t;touch x.csv", "labels": LABELS, "baselines": ["kmer"]},
        },
        "models": {"m": {"checkpoint": f"{place.name}/base' `touch x`"}},
        "recipes": {"r": {"epochs": 1, "learning_rate": 1e-3, "class_weights": dict.fromkeys(LABELS.values(), 1.0)}},
        "runs": [{"dataset": "t", "model": "m", "recipe": "r"}],
        "evaluation": {"replicates": 200},
        "device": "cpu",
    }  # fmt: skip
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    command = ["snakemake", "--snakefile", ROOT / "Snakefile", "--directory", directory, "--cores", "2"]
    command += ["--workflow-profile", ROOT / "profiles/default", "--configfile", directory / "config.yaml"]
    result = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return directory


@pytest.mark.slow
def test_nothing_was_executed(finished):
    assert not list(finished.rglob("x")) and not list(finished.parent.glob("x")) and not (ROOT / "x").exists()


@pytest.mark.slow
def test_the_report_shows_them_and_runs_nothing(finished):
    from html.parser import HTMLParser

    class Page(HTMLParser):
        tags, handlers, text = [], [], []

        def handle_starttag(self, tag, attributes):
            self.tags.append(tag)
            self.handlers += [
                name for name, value in attributes if name.startswith("on") or "javascript:" in (value or "")
            ]

        def handle_data(self, data):
            self.text.append(data)

    page = (finished / "results/report/index.html").read_text()
    parser = Page()
    parser.feed(page)
    assert parser.tags.count("script") == 1 and "img" not in parser.tags and not parser.handlers
    assert all(label in " ".join(parser.text) for label in LABELS.values())


@pytest.mark.slow
def test_the_model_card_shows_them_and_runs_nothing(finished):
    markdown = MarkdownIt("commonmark").enable("table")
    card = (finished / "results/t/runs/m/r/seed1/README.md").read_text()
    _, front, text = card.split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "transformers"
    tokens = [inner for token in markdown.parse(text) for inner in (token, *(token.children or []))]
    assert not {token.type for token in tokens} & {"html_inline", "html_block", "image", "link_open"}
    shown = "".join(token.content for token in tokens if token.type in ("text", "code_inline"))
    assert LABELS[0] in shown and "$(touch x)" in shown


@pytest.mark.slow
def test_ids_of_a_users_records_come_back_as_they_are(finished, tmp_path):
    ids = ["<script>alert(1)</script>", "$(touch x)", "`touch x`", 'a"b', "a'b", "=1+1", "../x", "a\tb", "a\nb", "-x"]
    with open(tmp_path / "x.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([("id", "sequence"), *((name, "ACGTTGCAAT" * 3) for name in ids)])
    model = finished / "results/t/runs/m/r/seed1/model"
    command = [sys.executable, ROOT / "scripts/predict.py", "--model", model, "--input", "x.csv", "--output", "y.tsv"]
    done = subprocess.run([*map(str, command)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "y.tsv", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [row["id"] for row in rows] == ids
    assert set(rows[0]) == {"id", "predicted", "windows", *(f"score_{label}" for label in LABELS.values())}
    assert {path.name for path in tmp_path.iterdir()} == {"x.csv", "y.tsv"}
