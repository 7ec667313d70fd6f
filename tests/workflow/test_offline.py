"""What needs the network is done where Snakemake runs, and before the rest, which needs none."""

import ast
import json
import os
import random
import re

import pytest
import yaml
from conftest import ROOT
from needed import require
from servers import contents, of_files, serve, stop, write_arrays

from dnalm.config.loading import load_config

SCRIPTS = ROOT / "scripts"
LIBRARIES = {
    "ftplib",
    "http.client",
    "http.server",
    "httpx",
    "huggingface_hub",
    "requests",
    "smtplib",
    "urllib.request",
    "urllib3",
}
FETCHING = {"dnalm.data.downloads": "download", "dnalm.training.models.hub": "fetch"}
"""The modules that speak to servers, and the function that does."""


def imports(path):
    """(module, name or None) of every import of a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


def test_two_modules_speak_to_servers():
    users = {
        ".".join(path.relative_to(SCRIPTS).with_suffix("").parts)
        for path in SCRIPTS.rglob("*.py")
        for module, name in imports(path)
        if {module, f"{module}.{name}", module.split(".")[0]} & LIBRARIES
    }
    assert users == set(FETCHING)


def test_the_rules_that_fetch_are_local_and_come_first():
    """A node of a cluster runs neither; what takes no time is local as well."""
    text = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    bodies = dict(re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL))
    local = {rule for rule, body in bodies.items() if "    localrule: True" in body}
    fetching = {
        rule
        for rule, body in bodies.items()
        for script in re.findall(r'script=script\("(\S+)"\)', body)
        if not script.startswith("benchmark_")  # a developer's, in tools/
        and any((module, name) in imports(SCRIPTS / script) for module, name in FETCHING.items())
    }
    assert fetching == {"download", "fetch_model"}
    assert local == fetching | {"gate", "plan", "look"}
    assert {rule for rule, body in bodies.items() if "    priority: 100" in body} == fetching
    # and no other script of the workflow calls what fetches, by way of a module
    callers = {path for path in SCRIPTS.rglob("*.py") if set(imports(path)) & set(FETCHING.items())}
    assert {path.name for path in callers} == {"download.py", "fetch_model.py"}


WATCH = """
import os, sys


def watch(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.sendto") or (
        event == "socket.connect" and not isinstance(arguments[1], (str, bytes))
    ):
        with open(os.environ["ATTEMPTS"], "a") as stream:
            print(event, arguments[1:] if event == "socket.connect" else arguments, sys.argv, file=stream)


sys.addaudithook(watch)
"""
"""Every Python process of a run notes whom it wants to speak to; sockets of this machine's file system don't count."""


@pytest.mark.slow
def test_what_is_fetched_first_is_all_that_the_rest_needs(snakemake, tmp_path):
    from hub import Hub
    from own_code import checkpoint
    from small_models import masked_lm_checkpoint, small_tokenizer

    cut = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    require("a network namespace")
    served = tmp_path / "served"
    served.mkdir()
    write_arrays(served, 500, random.Random(1))
    files, hub = of_files(served), Hub()
    folders = masked_lm_checkpoint(tmp_path / "bert", small_tokenizer(), trained=True), checkpoint(tmp_path / "bag")
    for folder in folders:
        hub.repositories[f"lab/{folder.name}"] = contents(folder)
    address = serve(files)
    config = {
        "genomes": {"g": {"url": f"{address}/g.fa"}},
        "catalogues": {"c": {"genome": "g", "format": "bed", "url": f"{address}/c.bed"}},
        "datasets": {
            "d": {
                "kind": "repeats", "genome": "g", "catalogue": "c", "negatives": {"shuffled": 1},
                "baselines": ["majority", "cnn"], "background": 0,
            }
        },
        "models": {
            "bert": {"checkpoint": "lab/bert", "revision": "main"},
            "bag": {"checkpoint": "lab/bag", "revision": "main", "trust_remote_code": True},
        },
        "recipes": {"r": {"epochs": 1, "learning_rate": 1e-3}},
        "runs": [{"dataset": "d", "model": model, "recipe": "r"} for model in ("bert", "bag")],
        "evaluation": {"replicates": 200},
    }  # fmt: skip
    load_config(config)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch/sitecustomize.py").write_text(WATCH)
    # the home is empty, so that nothing comes from a cache that an earlier run filled
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"HF_ENDPOINT": serve(hub), "HOME": str(tmp_path / "home"), "no_proxy": "*"}
    environment |= {"PYTHONPATH": str(tmp_path / "watch"), "ATTEMPTS": str(tmp_path / "attempts")}

    first = snakemake("--until", "download", "fetch_model", "--configfile", tmp_path / "config.yaml", env=environment)
    stop(files, hub)
    assert first.returncode == 0, first.stdout + first.stderr
    tried = (tmp_path / "attempts").read_text()
    assert "download.py" in tried and "fetch_model.py" in tried  # so whoever tries is seen
    assert not (tmp_path / "results").exists()
    assert json.loads((tmp_path / "resources/models/lab--bert/main.json").read_text())["checkpoint"] == "lab/bert"
    (tmp_path / "attempts").unlink()

    rest = snakemake("--configfile", tmp_path / "config.yaml", env=environment, before=cut)
    assert rest.returncode == 0, rest.stdout + rest.stderr
    assert not (tmp_path / "attempts").exists(), (tmp_path / "attempts").read_text()
    assert "<html" in (tmp_path / "results/report/index.html").read_text()
    for model in ("bert", "bag"):
        run = json.loads((tmp_path / f"results/d/runs/{model}/r/seed1/run.json").read_text())
        assert run["fetched"]["checkpoint"] == f"lab/{model}" and run["certificate"]["reload_difference"] == 0
