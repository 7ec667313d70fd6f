"""A finished model, loaded from its directory to score sequences."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.names import DECIMALS, SEQUENCE, TRUTH
from dnalm.tables.tokens import Tokens
from dnalm.training.engine.devices import choose_device, make_repeatable, quiet
from dnalm.training.engine.feeds import Examples
from dnalm.training.engine.scoring import BATCH_SIZE, exactly, score
from dnalm.training.engine.windows import Windows, cut
from dnalm.training.models.loading import check_vocabulary, label_names, load_finished, token_limit, window_size
from dnalm.training.models.tokenizers import Specials, load_tokenizer, specials_of
from dnalm.training.objectives import objective_of_model
from dnalm.training.objectives.base import Objective
from dnalm.training.probing import Probe, is_probe, open_probed


@dataclass(frozen=True)
class FinishedModel:
    """A model on its device, with its objective and tokenizer; size: tokens of a sequence that fit in one window.

    probe: reads the embeddings of `model`, which is a body then.
    """

    model: Any
    objective: Objective
    tokenizer: Any
    specials: Specials
    size: int
    probe: Probe | None = None

    @classmethod
    def open(cls, directory: Path, device: str, max_tokens: int | None = None, trust: bool = False) -> "FinishedModel":
        """Load a finished model from `directory` onto `device` (`auto`: the fastest available).

        trust: run the code that comes with the model, if it needs that.
        """
        quiet()
        make_repeatable()
        place = choose_device(device)
        tokenizer = load_tokenizer(directory, trust)
        specials = specials_of(tokenizer)
        probe = Probe.read(directory) if is_probe(directory) else None
        model = open_probed(directory, specials, trust) if probe else load_finished(directory, specials, trust)
        check_vocabulary(model, tokenizer, directory)
        size = window_size(token_limit(model, tokenizer, max_tokens), specials)
        return cls(exactly(model, place), objective_of_model(model, tokenizer), tokenizer, specials, size, probe)

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in the order of their numbers."""
        return label_names(self.model)

    def columns(self, scores: NDArray[np.float64]) -> dict[str, Any]:
        """Columns of an output table for new sequences, made from scores (n, columns)."""
        if TRUTH[self.objective.name] == SEQUENCE:
            nameless = np.full(len(scores), "", dtype=object)
            found = self.objective.predictions(nameless, None, scores).columns()
            (bases, count), (bits, total), *_ = found.items()
            per_base = np.divide(total, count, out=np.full(len(scores), np.nan), where=count > 0)
            return {bases: count, bits: total, self.objective.metrics[0]: per_base}
        if self.objective.name == "regression":
            return {"predicted": scores[:, 0]}
        names = self.labels
        predicted = [names[i] for i in scores.round(DECIMALS).argmax(axis=1)]
        return {"predicted": predicted, **{f"score_{name}": scores[:, i] for i, name in enumerate(names)}}

    @property
    def float_format(self) -> str:
        """Number format of that table: `DECIMALS` decimals for probabilities, significant digits for others."""
        return f"%.{DECIMALS}{'f' if self.objective.name == 'classification' else 'g'}"

    def score(
        self, tokens: Tokens, ids: Sequence[str], overlong: str, batch_size: int = BATCH_SIZE, what: str = ""
    ) -> tuple[NDArray[np.float64], Windows]:
        """The objective's scores (kept, columns) of tokenized records, and the windows they were scored in.

        Row i is that of record `windows.kept[i]`; all records are kept unless overlong is `drop`.
        """
        windows = cut(tokens.lengths, self.size, overlong, ids)
        examples = Examples(tokens, windows, self.specials)
        if self.probe:
            return self.probe.score(self.model, self.objective, examples, what), windows
        return score(self.model, self.objective, examples, batch_size, what), windows
