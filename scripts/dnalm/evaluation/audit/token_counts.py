"""Tokens of a data set by model: number per record, unknown tokens, and the model's limit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dnalm.errors import UserError
from dnalm.files import read_json
from dnalm.names import SPLITS


@dataclass(frozen=True)
class TokenCounts:
    """One model's tokens: `lengths` (n,) without special tokens, in the order of the splits' records.

    limit: most tokens of an input, special ones included; special: special tokens added to a sequence.
    """

    lengths: np.ndarray
    unknown: int
    limit: int | None
    special: int = 2

    def take(self, rows: np.ndarray) -> "TokenCounts":
        """The counts of some records; `unknown` stays that of all."""
        return replace(self, lengths=self.lengths[rows])

    @property
    def overlong(self) -> int:
        """Records that do not fit into one input with the special tokens."""
        return 0 if self.limit is None else int((self.lengths > self.limit - self.special).sum())


def read_token_counts(
    files: Iterable[Path], limits: Mapping[str, int | None], sizes: Mapping[str, int]
) -> dict[str, TokenCounts]:
    """Token counts of each model from files `{model}/{split}.json` and, beside each, `{split}.offsets.npy`.

    limits: `max_tokens` of the config by model, or None; the limit of the tokenizer or checkpoint is in the files, and
    the lower one applies. sizes: records of each split. Raises `UserError` for a model or split without a file and for
    a file that does not match its split.
    """
    found = {(path.parent.name, path.stem): path for path in files}
    result = {}
    for model, limit in limits.items():
        lengths, unknown, special = [], 0, 0
        known = [limit]
        for split in SPLITS:
            path = found.get((model, split))
            if path is None:
                raise UserError(f"--tokens: no file {model}/{split}.json; tokenize the {split} records for this model")
            counts = read_json(path)
            part = _lengths(path.with_name(f"{split}.offsets.npy"))
            if len(part) != sizes[split] or counts.get("records") != sizes[split]:
                raise UserError(f"{path}: not the tokens of these {sizes[split]} {split} records; tokenize them again")
            lengths.append(part)
            unknown += counts["unknown_tokens"]
            special = counts["special_tokens"]
            known.append(counts["limit"])
        least = min((value for value in known if value is not None), default=None)
        result[model] = TokenCounts(np.concatenate(lengths), unknown, least, special)
    return result


def _lengths(path: Path) -> np.ndarray:
    try:
        offsets = np.load(path, mmap_mode="r")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; it belongs beside the counts of the same tokens") from error
    except (ValueError, EOFError) as error:
        raise UserError(f"{path}: damaged token file ({error})") from error
    return np.diff(offsets)
