"""The workflow as a module of another one, and as `snakedeploy deploy-workflow` lays it out."""

import os
import random
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT

TABLE = {
    "datasets": {"t": {"kind": "table", "path": "data/t.csv", "baselines": ["majority"]}},
    "device": "cpu",
}
OURS = f'"{ROOT}/workflow/Snakefile"'


def caller(directory, text, config=TABLE, snakefile="Snakefile"):
    """A workflow of someone else's in `directory`, with a table, that uses ours."""
    (directory / "data").mkdir(exist_ok=True)
    (directory / snakefile).parent.mkdir(exist_ok=True)
    (directory / "config").mkdir(exist_ok=True)
    (directory / "config/config.yaml").write_text(yaml.safe_dump(config))
    (directory / snakefile).write_text('configfile: "config/config.yaml"\n' + text)
    write_table(directory / "data/t.csv", 1)


def write_table(path, seed):
    chance = random.Random(seed)
    rows = [f"{''.join(chance.choices('ACGT', k=40))},{index % 2}" for index in range(64)]
    path.write_text("\n".join(["sequence,label", *rows, ""]))


def call(directory, *arguments, **environment):
    command = ["snakemake", "--cores", "2", *arguments]
    environment = {**os.environ, **environment}
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, env=environment)
    return done, done.stdout + done.stderr


def used(name="dnalm", source=OURS, config="config", more="", rename=""):
    return f"module {name}:\n    snakefile: {source}\n    config: {config}\n{more}\nuse rule * from {name}{rename}\n"


BEFORE = "rule all:\n    input: 'own.txt'\n\n"
OWN = """
rule own:
    input: "of/one/results/report/index.html"
    output: "own.txt"
    shell: "test -s {input} && echo ${{DNALM_SNAKEMAKE%:*}} > {output}"
"""


def test_a_module_runs_to_its_report(tmp_path):
    """By names and in a folder of the caller's, whose own rules, default target and shell stay as they are."""
    more = '    prefix: "of/one"\n'
    text = BEFORE + used(config='config["theirs"]', more=more, rename=" as dnalm_*") + OWN
    caller(tmp_path, text, {"theirs": TABLE, "ours": 1})
    done, said = call(tmp_path)
    assert done.returncode == 0, said
    assert "rule dnalm_import_table:" in said
    assert (tmp_path / "own.txt").is_file()
    assert (tmp_path / "of/one/results/report/index.html").is_file()
    assert (tmp_path / "of/one/logs/import_table/t.log").is_file()
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == [
        "Snakefile",
        "config",
        "data",
        "of",
        "own.txt",
    ]
    os.utime(tmp_path / "data/t.csv")
    done, said = call(tmp_path, "--dry-run")
    assert "Nothing to be done" in said
    write_table(tmp_path / "data/t.csv", 2)
    os.utime(tmp_path / "data/t.csv", (1, 1))
    done, said = call(tmp_path, "--dry-run")
    assert "rule dnalm_import_table:" in said and "rule own:" in said


@pytest.mark.parametrize("prefix", ["", "dnalm_"])
def test_a_module_without_a_prefix(tmp_path, prefix):
    local = "print('LOCAL', *(rule.name for rule in workflow.rules if workflow.is_local(rule)))\n"
    caller(tmp_path, used(rename=f" as {prefix}*" if prefix else "") + local)
    done, said = call(tmp_path, "--dry-run")
    assert done.returncode == 0, said
    assert "output: results/report/index.html" in said and f"rule {prefix}import_table:" in said
    (line,) = [line for line in said.splitlines() if line.startswith("LOCAL")]
    assert {f"{prefix}{rule}" for rule in ("gate", "download", "fetch_model")} <= set(line.split())


def test_two_configs_side_by_side(tmp_path):
    other = yaml.safe_load(yaml.safe_dump(TABLE).replace("t:", "u:"))
    parts = [
        used(name, config=f'config["{name}"]', more=f'    prefix: "{name}"\n', rename=f" as {name}_*")
        for name in ("one", "two")
    ]
    targets = "rule all:\n    input: 'one/results/summary/metrics.tsv', 'two/results/summary/metrics.tsv'\n"
    caller(tmp_path, targets + "\n".join(parts), {"one": TABLE, "two": other})
    done, said = call(tmp_path, "--dry-run")
    assert done.returncode == 0, said
    assert "one/results/t/data/train.parquet" in said and "two/results/u/data/train.parquet" in said
    assert said.count("data/t.csv") and "/data/t.csv" not in said.replace(str(tmp_path), "")


def test_a_mistake_in_a_modules_config_is_one_line(tmp_path):
    caller(tmp_path, used(), {**TABLE, "divice": "cpu"})
    done, said = call(tmp_path, "--dry-run")
    assert done.returncode == 1 and "Traceback" not in said
    assert said.splitlines()[-1] == "error: config: divice: unknown key; did you mean 'device'?"


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A hosting service with our repository and a release of what is here, and the environment that leads there."""
    place = tmp_path_factory.mktemp("hosted")
    work = place / "work"
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, work / name)
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for command in (("init", "-q"), ("add", "."), (*who, "commit", "-q", "-m", "all"), ("tag", "v1.0.0")):
        subprocess.run(["git", "-C", work, *command], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", work, place / "owner/dna-lm-finetuning"], check=True)
    return work, {
        "XDG_CACHE_HOME": str(place / "cache"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{place}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
    }


SOURCES = {
    "github": 'github("owner/dna-lm-finetuning", path="workflow/Snakefile", tag="v1.0.0")',
    "git": '"git+file://{}/workflow/Snakefile@v1.0.0"',
}


@pytest.mark.parametrize("source", SOURCES)
def test_as_snakedeploy_lays_it_out(source, released, tmp_path):
    """workflow/Snakefile with the module, and beside it copies of config/ and profiles/."""
    work, environment = released
    text = used("dna_lm_finetuning", source=SOURCES[source].format(work))
    (tmp_path / "workflow").mkdir()
    for name in ("config", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "workflow/Snakefile").write_text('configfile: "config/config.yaml"\n' + text)
    done, said = call(tmp_path, "--dry-run", "--printshellcmds", **environment)
    assert done.returncode == 0, said
    assert "finetune" in said and "profiles/default" in said
    commit = subprocess.run(["git", "-C", work, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    assert f"{tmp_path}/.snakemake/dnalm/{commit}/scripts/finetune.py" in said
    assert (tmp_path / f".snakemake/dnalm/{commit}/scripts/finetune.py").is_file()
    simulated = "resources/simulations/demo.fa.gz"
    done, said = call(tmp_path, simulated, **environment)
    assert done.returncode == 0, said


def test_two_copies_are_one_line(released, tmp_path):
    work, _ = released
    caller(tmp_path, used("one") + used("two", f'"{work}/workflow/Snakefile"', rename=" as two_*"))
    done, said = call(tmp_path, "--dry-run")
    assert done.returncode == 1
    assert said.splitlines()[-1] == f"error: {ROOT} and {work}: one Snakemake cannot read two copies of this workflow"


WITHOUT = """
import sys
from snakemake import cli  # which itself may need what is hidden now
for name in [name for name in sys.modules if name.split(".")[0] == "pydantic"]:
    del sys.modules[name]
sys.modules["pydantic"] = None
cli.main(sys.argv[1:])
"""


@pytest.mark.parametrize("option", ["--dry-run", "--lint"])
def test_where_pydantic_lacks_one_line_says_so(tmp_path, option):
    command = [sys.executable, "-c", WITHOUT, "--snakefile", ROOT / "Snakefile", option]
    done = subprocess.run([*map(str, command)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert (
        done.stderr.splitlines()[-1] == "error: this workflow needs pydantic where Snakemake is: pip install pydantic"
    )


def test_snakemakes_process_loads_nothing_heavy():
    """Planning imports of the library what it needs to plan, and none of what computes."""
    lines = [
        line for name in ("place", "common") for line in (ROOT / f"workflow/rules/{name}.smk").read_text().splitlines()
    ]
    imports = [line.strip() for line in lines if line.strip().startswith(("from dnalm", "import dnalm"))]
    assert len(imports) > 5
    code = "; ".join(["import sys", *imports, "print(*sys.modules)"])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "scripts", capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    assert {"dnalm.workflow.stages", "pydantic"} <= modules
    assert not modules & {
        "numpy",
        "pandas",
        "torch",
        "dnalm.data",
        "dnalm.training",
        "dnalm.evaluation",
        "dnalm.sequence",
    }


def test_no_name_of_ours_is_importable_in_anothers_workflow(tmp_path):
    caller(tmp_path, used() + "\nimport sys\nprint('PATHS', *sys.path)\n")
    done, said = call(tmp_path, "--dry-run")
    assert done.returncode == 0, said
    (line,) = [line for line in said.splitlines() if line.startswith("PATHS")]
    assert str(ROOT / "scripts") not in line.split()


def test_lint_finds_nothing():
    done = subprocess.run([sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
