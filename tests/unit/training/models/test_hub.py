"""Fetching from a real HTTP server on loopback that speaks the few endpoints of the hub this needs."""

import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hub import COMMIT, Hub
from script_runs import SCRIPTS

from dnalm.errors import UserError
from dnalm.training.models.hub import to_safetensors, wanted

CONFIG = json.dumps({"model_type": "bert"}).encode()


@pytest.fixture
def hub():
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def fetch(server, output, checkpoint="lab/dna", revision=COMMIT, trust=False, **environment):
    address = f"http://127.0.0.1:{server.server_address[1]}"
    return subprocess.run(
        [sys.executable, SCRIPTS / "fetch_model.py", "--spec", "-", "--output", output],
        input=json.dumps({"checkpoint": checkpoint, "revision": revision, "trust_remote_code": trust}),
        env={**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(output.parent / "home"), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def fails(process, output, message):
    assert process.returncode == 1
    assert "Traceback" not in process.stderr
    last = process.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and message in last, last
    assert not output.exists() and not list(output.parent.glob(".*.tmp"))


def test_config_tokenizer_and_safetensors_are_fetched_and_nothing_else(hub, tmp_path):
    files = {
        "config.json": CONFIG,
        "tokenizer.json": b"{}",
        "vocab.txt": b"A\n",
        "model.safetensors": b"weights" * 1000,
        "pytorch_model.bin": b"pickle",
        "onnx/model.safetensors": b"no",
        "README.md": b"no",
        "tf_model.h5": b"no",
    }
    hub.repositories["lab/dna"] = files
    output = tmp_path / "lab--dna" / COMMIT
    process = fetch(hub, output)
    assert process.returncode == 0, process.stderr
    kept = {"config.json", "tokenizer.json", "vocab.txt", "model.safetensors"}
    found = {p.relative_to(output).as_posix(): p.read_bytes() for p in output.rglob("*")}
    fetched = json.loads(found.pop("fetched.json"))
    assert fetched == {"checkpoint": "lab/dna", "revision": COMMIT, "commit": COMMIT}
    assert found == {f: files[f] for f in kept}
    assert all(COMMIT in path for path in hub.asked), hub.asked


def test_a_branch_is_fetched_at_the_commit_it_stands_for(hub, tmp_path):
    hub.repositories["lab/dna"] = {"config.json": CONFIG, "model.safetensors": b"weights"}
    process = fetch(hub, tmp_path / "model", revision="main")
    assert process.returncode == 0, process.stderr
    assert json.loads((tmp_path / "model/fetched.json").read_text())["commit"] == COMMIT
    assert [path for path in hub.asked if "main" in path] == [path for path in hub.asked if path.startswith("api")][:1]


def test_pickled_weights_become_safetensors(hub, tmp_path):
    import io

    import torch
    from safetensors.torch import load_file

    shared = torch.arange(6.0).reshape(2, 3)
    stream = io.BytesIO()
    torch.save({"bert.a": shared, "cls.tied": shared, "b": torch.ones(3)}, stream)
    hub.repositories["lab/dna"] = {"config.json": CONFIG, "pytorch_model.bin": stream.getvalue()}
    output = tmp_path / "model"
    process = fetch(hub, output)
    assert process.returncode == 0, process.stderr
    assert sorted(path.name for path in output.iterdir()) == ["config.json", "fetched.json", "model.safetensors"]
    weights = load_file(output / "model.safetensors")
    assert torch.equal(weights["bert.a"], shared) and torch.equal(weights["cls.tied"], shared)


def test_code_in_a_pickle_is_not_run(hub, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    hub.repositories["lab/dna"] = {"config.json": CONFIG, "pytorch_model.bin": pickle.dumps({"w": Evil()})}
    fails(fetch(hub, tmp_path / "model"), tmp_path / "model", "pytorch_model.bin: has more than plain tensors")
    assert not (tmp_path / "ran").exists()


def test_a_pickle_of_anything_but_named_tensors_is_refused(tmp_path):
    import torch

    for number, value in enumerate(([torch.ones(2)], {"weights": [1.0]}, torch.ones(2))):
        path = tmp_path / f"pytorch_model-{number}.bin"
        torch.save(value, path)
        with pytest.raises(UserError, match="has no named tensors"):
            to_safetensors(path)
    assert not list(tmp_path.glob("*.safetensors"))


def test_code_is_fetched_for_those_who_trust_it_and_from_nowhere_else(hub, tmp_path):
    files = {"config.json": CONFIG, "modeling.py": b"import os", "deep/more.py": b"", "model.safetensors": b"weights"}
    hub.repositories["lab/dna"] = files
    for trust in (False, True):
        process = fetch(hub, tmp_path / str(trust), trust=trust)
        assert process.returncode == 0, process.stderr
        assert {path.name for path in (tmp_path / str(trust)).rglob("*.py")} == ({"modeling.py"} if trust else set())
    files["config.json"] = json.dumps({"auto_map": {"AutoModel": "lab/other--modeling.Model"}}).encode()
    message = "lab/dna: its code is in another repository (lab/other--modeling.Model), which is not fetched"
    fails(fetch(hub, tmp_path / "elsewhere", trust=True), tmp_path / "elsewhere", message)


def test_what_the_hub_refuses_is_one_line(hub, tmp_path):
    output = tmp_path / "model"
    hub.repositories["lab/dna"] = {"config.json": CONFIG, "model.safetensors": b"weights"}
    hub.repositories["lab/gated"] = "gated"
    hub.repositories["lab/empty"] = {"config.json": CONFIG}
    fails(fetch(hub, output, checkpoint="lab/none"), output, "lab/none: the hub has no such model")
    fails(fetch(hub, output, checkpoint="lab/gated"), output, "lab/gated: needs permission")
    fails(fetch(hub, output, revision="f" * 40), output, f"lab/dna: the hub has no revision {'f' * 40} of it")
    fails(fetch(hub, output, checkpoint="lab/empty"), output, "neither model.safetensors nor pytorch_model.bin")
    fails(fetch(hub, output, HF_HUB_OFFLINE="1"), output, "lab/dna: cannot be fetched from the hub (")
    fails(fetch(hub, output, HF_ENDPOINT="http://127.0.0.1:9"), output, "lab/dna: cannot be fetched from the hub (")


def test_weights_that_do_not_arrive_leave_nothing(hub, tmp_path):
    hub.repositories["lab/dna"] = {"config.json": CONFIG, "model.safetensors": b"weights"}
    hub.broken.add("model.safetensors")
    fails(fetch(hub, tmp_path / "model"), tmp_path / "model", "lab/dna: cannot be fetched from the hub (")


def test_which_files_are_wanted():
    shards = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "pytorch_model.bin.index.json"]
    assert wanted("x", ["config.json", *shards, "training_args.bin"]) == sorted(["config.json", *shards])
    with pytest.raises(UserError, match=r"no config\.json"):
        wanted("x", ["model.safetensors"])


def test_shards_keep_their_index(tmp_path):
    import torch

    from dnalm.training.models.hub import _rename_shards

    for i in (1, 2):
        torch.save({f"w{i}": torch.ones(2)}, tmp_path / f"pytorch_model-0000{i}-of-00002.bin")
        to_safetensors(tmp_path / f"pytorch_model-0000{i}-of-00002.bin")
    index = {"metadata": {}, "weight_map": {f"w{i}": f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    _rename_shards(tmp_path / "pytorch_model.bin.index.json")
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    found = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert found["weight_map"]["w2"] == "model-00002-of-00002.safetensors"
