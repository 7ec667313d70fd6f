"""A finished classifier, opened from its directory to score sequences anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.tables.tokens import Tokens
from dnalm.training.engine.devices import choose_device, make_repeatable, quiet
from dnalm.training.engine.feeds import Examples
from dnalm.training.engine.scoring import BATCH_SIZE, exactly, predict, reported
from dnalm.training.engine.windows import Windows, cut
from dnalm.training.models.loading import check_vocabulary, label_names, load_finished, token_limit, window_size
from dnalm.training.models.tokenizers import Specials, load_tokenizer, specials_of


@dataclass(frozen=True)
class Classifier:
    """A model on its device, its tokenizer, and how many tokens of a sequence one window takes."""

    model: Any
    tokenizer: Any
    specials: Specials
    size: int

    @classmethod
    def open(cls, directory: Path, device: str, max_tokens: int | None = None, trust: bool = False) -> "Classifier":
        """Load a finished model from `directory` onto `device` (`auto`: the best there is); trust: run code of its own."""
        quiet()
        make_repeatable()
        place = choose_device(device)
        tokenizer = load_tokenizer(directory, trust)
        specials = specials_of(tokenizer)
        model = load_finished(directory, specials, trust)
        check_vocabulary(model, tokenizer, directory)
        size = window_size(token_limit(model, tokenizer, max_tokens), specials)
        return cls(exactly(model, place), tokenizer, specials, size)

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in order."""
        return label_names(self.model)

    def score(
        self, tokens: Tokens, ids: Sequence[str], overlong: str, batch_size: int = BATCH_SIZE, what: str = ""
    ) -> tuple[NDArray[np.float64], Windows]:
        """Probabilities (kept, classes) of tokenized records, and the windows they were scored in.

        Row i belongs to record `windows.kept[i]`; all records are kept unless overlong is `drop`.
        """
        windows = cut(tokens.lengths, self.size, overlong, ids)
        scores = predict(self.model, Examples(tokens, windows, self.specials), batch_size, what)
        return reported(scores), windows
