"""Download checkpoints from the Hugging Face hub: configuration, tokenizer, and weights as safetensors."""

import errno
import json
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from dnalm.errors import UserError
from dnalm.files import write_json
from dnalm.training.models.remote_code import sources

KEPT = (
    "config.json", "generation_config.json", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json",
    "added_tokens.json", "*.model", "LICENSE*",
)  # fmt: skip
SAFE = ("model*.safetensors", "model.safetensors.index.json")
FETCHED = "fetched.json"
"""File with the commit of a fetched checkpoint: a branch or a tag may move."""

PICKLED = ("pytorch_model*.bin", "pytorch_model.bin.index.json")


def fetch(checkpoint: str, revision: str, directory: Path, code: bool = False) -> None:
    """Download config, tokenizer and weights of hub repository `checkpoint` at `revision` into `directory`.

    revision: a commit, branch or tag; its commit is written to `FETCHED`. code: also fetch its Python modules. Weights
    that a repository has only as a pickle are read without running code from it, and written as safetensors.
    HF_ENDPOINT and HF_TOKEN are respected. Raises `UserError` if the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi, snapshot_download

    try:
        info = HfApi().model_info(checkpoint, revision=revision)
    except Exception as error:
        raise _one_line(checkpoint, revision, error) from error
    names = wanted(checkpoint, [sibling.rfilename for sibling in info.siblings or []], code)
    try:
        snapshot_download(checkpoint, revision=info.sha, allow_patterns=names, local_dir=directory)
    except Exception as error:
        raise _one_line(checkpoint, revision, error) from error
    shutil.rmtree(directory / ".cache", ignore_errors=True)
    missing = [name for name in names if not (directory / name).is_file()]
    if missing:
        raise UserError(f"{checkpoint}: the hub did not deliver {missing[0]}; try again")
    if elsewhere := [source for source in sources(directory) if code and "--" in source]:
        raise UserError(f"{checkpoint}: its code is in another repository ({elsewhere[0]}), which is not fetched")
    for path in sorted(directory.glob("pytorch_model*.bin")):
        to_safetensors(path)
    if (index := directory / "pytorch_model.bin.index.json").is_file():
        _rename_shards(index)
    write_json(directory / FETCHED, {"checkpoint": checkpoint, "revision": revision, "commit": info.sha})


def _one_line(checkpoint: str, revision: str, error: Exception) -> Exception:
    """A `UserError` for an error of the hub's client, which may be of any class; one of the local disk as it is."""
    from huggingface_hub import errors

    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
        return error
    if isinstance(error, errors.GatedRepoError):
        reason = "needs permission; ask for it on the hub and set HF_TOKEN"
    elif isinstance(error, errors.RevisionNotFoundError):
        reason = f"the hub has no revision {revision} of it"
    elif isinstance(error, errors.RepositoryNotFoundError):
        reason = "the hub has no such model (or it is private: set HF_TOKEN)"
    elif isinstance(error, errors.HFValidationError):
        reason = "not a hub id (owner/name)"
    else:
        reason = f"cannot be fetched from the hub ({' '.join(str(error).split())[:200] or type(error).__name__})"
    return UserError(f"{checkpoint}: {reason}")


def wanted(checkpoint: str, files: list[str], code: bool = False) -> list[str]:
    """Which of a repository's top-level files to fetch; weights as safetensors if there are any, else as a pickle.

    code: whether to include Python modules.
    """

    def matching(patterns: tuple[str, ...]) -> list[str]:
        return [name for name in files if "/" not in name and any(fnmatch(name, p) for p in patterns)]

    if "config.json" not in files:
        raise UserError(f"{checkpoint}: this repository has no config.json, so it is not a transformers model")
    weights = matching(SAFE) or matching(PICKLED)
    if not weights:
        raise UserError(f"{checkpoint}: this repository has neither model.safetensors nor pytorch_model.bin")
    return sorted({*matching(KEPT), *weights, *(matching(("*.py",)) if code else ())})


def to_safetensors(path: Path) -> None:
    """Convert pickled weights `pytorch_model*.bin` to `model*.safetensors`; only tensors are unpickled."""
    import pickle

    import torch
    from safetensors.torch import save_file

    try:
        weights: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(f"{path.name}: has more than plain tensors, or is damaged; it is not loaded") from error
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise UserError(f"{path.name}: has no named tensors; it is not loaded")
    # safetensors refuses tensors that share memory, as tied weights do
    plain = {name: value.detach().clone().contiguous() for name, value in weights.items()}
    save_file(plain, _safe_name(path), metadata={"format": "pt"})
    path.unlink()


def _safe_name(path: Path) -> Path:
    return path.with_name(path.name.replace("pytorch_model", "model").replace(".bin", ".safetensors"))


def _rename_shards(index: Path) -> None:
    content = json.loads(index.read_text())
    content["weight_map"] = {key: _safe_name(Path(shard)).name for key, shard in content["weight_map"].items()}
    _safe_name(index).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    index.unlink()
