"""Scores of records, independent of the batch size and of the other records in the batch."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from dnalm.training.engine.devices import out_of_memory
from dnalm.training.engine.execution import Interrupted
from dnalm.training.engine.feeds import Examples, Integers, pad, spread
from dnalm.training.engine.packing import takes_types
from dnalm.training.engine.team import Team
from dnalm.training.objectives.base import IGNORED, Objective, Scoring, Tallying

BATCH_SIZE = 64


def exactly(model: Any, device: torch.device) -> Any:
    """Prepare a model for scores that do not depend on the batch: float64 on the CPU and CUDA GPUs.

    In fp32 the sixth decimal of 7 % of the scores changes with the batch size (kernels sum in another order); in
    float64 none does, and a BERT's are the same on CPU and GPU. It is 1.6 times slower on a CPU and 1.2 times on an
    H100. Apple's GPUs have no float64, so there it stays fp32.
    """
    model.eval().to(device)
    if device.type == "mps":
        return model
    model.set_experts_implementation("eager")  # the default for mixtures of experts has no float64 kernel
    return model.double()


def score(
    model: Any,
    objective: Objective,
    examples: Examples,
    batch_size: int = BATCH_SIZE,
    what: str = "",
    team: Team | None = None,
    most_tokens: int | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> NDArray[np.float64]:
    """An objective's scores of the records that have a window, averaged (or summed) over windows; (kept, columns).

    Rows follow `examples.windows.kept`. Windows are scored in batches of similar lengths, on the model's device and in
    its number format; a batch has at most `most_tokens` tokens, padding included, or one window. what: label of the
    progress bar; no bar if empty. Each rank of a `team` scores a part, and all get all scores. Raises `Interrupted` if
    `interrupted()`, called between batches, is true in any rank.
    """
    windows, rank, ranks = examples.windows, team.rank if team else 0, team.world if team else 1
    scores = np.zeros((len(windows), objective.columns(model.config)))
    lengths = examples.lengths
    order = np.argsort(-lengths, kind="stable")
    quiet = not what or rank > 0
    bar = tqdm(total=len(order), desc=what, unit=" seq", mininterval=1, file=sys.stderr, disable=quiet, leave=None)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), bar:
            at = 0
            while at < len(order):
                if team.agree(interrupted())[0] if team else interrupted():
                    raise Interrupted
                fit = batch_size if most_tokens is None else max(1, most_tokens // int(lengths[order[at]]))
                together = order[at : at + min(batch_size, fit) * ranks]
                rows, at = together[rank::ranks], at + len(together)
                # a rank with nothing left must still take part: a sharded model needs all ranks
                found = _scores(model, objective, examples, rows if len(rows) else order[:1])
                scores[rows] = found[: len(rows)]
                bar.update(len(together))
    except RuntimeError as error:
        raise out_of_memory(error) or error from error
    finally:
        model.train(was_training)
    if team is not None:
        team.sum_(torch.from_numpy(scores))
    kept, row = np.unique(windows.record, return_inverse=True)
    sums = np.zeros((len(kept), scores.shape[1]))
    np.add.at(sums, row, scores)
    return sums / np.bincount(row, minlength=len(kept))[:, None] if objective.averages else sums


def _scores(model: Any, objective: Objective, examples: Examples, rows: Integers) -> NDArray[np.float64]:
    """The scores of windows, (b, columns)."""
    ids, lengths = examples.flat(rows)
    targets = objective.targets(examples, rows, ids, lengths) if isinstance(objective, Tallying) else None
    batch = pad(ids if targets is None else targets.ids, lengths, examples.specials.pad)
    mask = batch["attention_mask"]
    batch |= examples.typed(rows, mask) if takes_types(model) else {}
    logits = model(**{name: tensor.to(model.device) for name, tensor in batch.items()}).logits
    if isinstance(objective, Tallying) and targets is not None:
        # logits are large, vocabulary x tokens: only the losses leave the device
        losses = objective.losses(logits, spread(targets.values, mask, IGNORED).to(model.device)).cpu().double()
        return objective.tally(examples, rows, ids, targets, losses.numpy()[mask.numpy().astype(bool)])
    if not isinstance(objective, Scoring):
        raise TypeError(f"objective {objective.name} has no scores")
    found: NDArray[np.float64] = objective.scores(logits.cpu()).numpy()
    return found
