"""What each model's tokenizer makes of a data set: tokens a record, unknown tokens, and the model's limit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnalm.errors import UserError
from dnalm.files import read_json
from dnalm.names import SPLITS

SPECIAL_TOKENS = 2
"""Tokens that are added to a sequence, as by BERT and its kin; they take room too."""
_NO_LIMIT = 10**7
"""Tokenizers write 10^30 for no limit."""


@dataclass(frozen=True)
class TokenCounts:
    """One model's tokens: `lengths` (n,) without special tokens, in the order of the splits' records; `limit` with them."""

    lengths: np.ndarray
    unknown: int
    limit: int | None

    @property
    def overlong(self) -> int:
        """Records that do not fit into one input together with the special tokens."""
        return 0 if self.limit is None else int((self.lengths > self.limit - SPECIAL_TOKENS).sum())


def read_token_counts(
    files: Iterable[Path], limits: Mapping[str, int | None], sizes: Mapping[str, int]
) -> dict[str, TokenCounts]:
    """Token counts of each model from files `{model}/{split}.json` and, beside each, `{split}.offsets.npy`.

    limits: most tokens of one input, by model; None where none is known. sizes: records of each split. Raises
    `UserError` for a model or split without a file and for a file that does not fit its split.
    """
    found = {(path.parent.name, path.stem): path for path in files}
    result = {}
    for model, limit in limits.items():
        lengths, unknown = [], 0
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
        result[model] = TokenCounts(np.concatenate(lengths), unknown, limit)
    return result


def _lengths(path: Path) -> np.ndarray:
    try:
        offsets = np.load(path, mmap_mode="r")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; it lies beside the counts of the same tokens") from error
    except (ValueError, EOFError) as error:
        raise UserError(f"{path}: damaged token file ({error})") from error
    return np.diff(offsets)


def stated_limit(folder: Path) -> int | None:
    """The least limit of tokens that a checkpoint's config.json and tokenizer_config.json state; None for no limit."""
    stated = []
    for name, key in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
        path = folder / name
        settings = read_json(path) if path.is_file() else {}
        value = settings.get(key)
        if isinstance(value, int | float) and 0 < value <= _NO_LIMIT:
            # RoBERTa and its kin number positions from the padding id on, and so lose that many and one more
            roberta = name == "config.json" and settings.get("model_type") in ("roberta", "xlm-roberta", "camembert")
            stated.append(int(value) - (settings.get("pad_token_id", 1) + 1 if roberta else 0))
    return min(stated, default=None)
