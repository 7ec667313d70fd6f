"""Causal language modelling: exact losses and bits, by hand and by transformers."""

import itertools

import numpy as np
import pytest
import torch
from language_models import BASES, GPT2, LETTERS, MIXTRAL, model_for, objective_for, random_records, shown
from token_objective import LLAMA, VOCABULARY

from dnalm.tables.predictions import BitPredictions
from dnalm.training.engine.scoring import exactly, score
from dnalm.training.models.tokenizers import Specials
from dnalm.training.objectives.base import IGNORED
from dnalm.training.objectives.causal import Causal
from dnalm.training.objectives.language import Letters

CPU = torch.device("cpu")


class Constant(torch.nn.Module):
    """A model with the same probabilities of the next token wherever it is, or (a table) after each token.

    What is left to 1 goes to the padding token.
    """

    config, device = None, CPU

    def __init__(self, probabilities):
        super().__init__()
        table = np.atleast_2d(np.asarray(probabilities, dtype=float)).copy()
        table[:, 0] = 1 - table[:, 1:].sum(axis=1)
        self.table = torch.from_numpy(table).clamp(min=1e-300).log()

    def forward(self, input_ids, **_):
        return type(
            "Output", (), {"logits": self.table[input_ids if len(self.table) > 1 else torch.zeros_like(input_ids)]}
        )


@pytest.mark.parametrize("architecture", [LLAMA, MIXTRAL, GPT2], ids=lambda one: one["model_type"])
def test_the_loss_is_that_of_transformers(architecture):
    model, records, objective = (
        exactly(model_for("causal", architecture), CPU),
        random_records(7),
        objective_for("causal"),
    )
    found = score(model, objective, records, batch_size=3)
    for index in range(7):
        ids, _ = records.flat(np.array([index]))
        labels = torch.from_numpy(np.where(BASES[ids] > 0, ids, IGNORED))[None]  # transformers shifts them
        with torch.no_grad():
            expected = float(model(input_ids=torch.from_numpy(ids)[None], labels=labels).loss)
        learnt = (BASES[ids] > 0).sum()
        assert found[index, 4] == learnt
        assert found[index, 5] / learnt == pytest.approx(expected, rel=1e-6)
        assert found[index, 1] == pytest.approx(expected * learnt / np.log(2), rel=1e-6)  # transformers works in fp32
        assert found[index, 0] == BASES[ids].sum()


def test_soft_masked_bases_bits_and_weights_by_hand():
    """[CLS] a b c [SEP]: tokens of 1, 2 and 3 bases, of which 0, 1 and 3 are soft-masked."""
    tokens = [5, 6, 7]
    assert BASES[tokens].tolist() == [1, 2, 3]
    records = shown([tokens], soft=np.array([0, 1, 3], dtype=np.uint8))
    objective = objective_for("causal", 0.5)
    ids, lengths = records.flat(np.array([0]))
    targets = objective.targets(records, np.array([0]), ids, lengths)
    assert targets.values.tolist() == [5, 6, 7, IGNORED, IGNORED]
    assert targets.shares.tolist() == [1, 0.75, 0.5, 0, 0]
    assert objective.weights(records)[np.array([0])].tolist() == [2.25]
    probabilities = np.zeros(VOCABULARY)
    probabilities[[5, 6, 7]] = 1 / 2, 1 / 4, 1 / 8
    (found,) = score(Constant(probabilities), objective, records)
    # 1 + 2 + 3 bits; of the second token's half of the bases are soft-masked, of the third's all
    assert found == pytest.approx([6, 6, 4, 4, 2.25, np.log(2) * (1 + 0.75 * 2 + 0.5 * 3), 6])
    kept = objective.predictions(np.array(["a"], dtype=object), None, found[None])
    assert isinstance(kept, BitPredictions) and kept.counts.tolist() == [pytest.approx([6, 6, 4, 4])]
    assert objective.quality(found[None], None) == pytest.approx({"loss": found[5] / 2.25, "bits_per_base": 1.0})


def test_a_first_token_without_one_before_it_costs_two_bits_a_base():
    bare = Specials(prefix=(), suffix=(), pad=0, unknown=1, mask=None)
    records = shown([[7, 5], [1, 7], [8]], specials=bare)
    probabilities = np.zeros(VOCABULARY)
    probabilities[[5, 7]] = 0.5, 0.25
    found = score(Constant(probabilities), Causal(Letters(BASES)), records)
    assert found[:, 0].tolist() == [4, 3, 4]
    assert found[:, 1] == pytest.approx([2 * 3 + 1, 2, 2 * 4])  # an unknown token costs nothing
    assert found[:, 4].tolist() == [1, 1, 0]


KMERS = ["".join(letters) for letters in itertools.product("ACGT", repeat=3)]


def spelt(text, how):
    """The text's tokens, ids from 5 on, by single bases or 3-mers, and the probabilities of a uniform next base."""
    if how == "bases":
        return ["ACGT".index(base) + 5 for base in text], Letters(np.array([0] * 5 + [1] * 4), 1), [0] * 5 + [1 / 4] * 4
    step = 1 if how == "overlapping" else 3
    ids = [KMERS.index(text[at : at + 3]) + 5 for at in range(0, len(text) - 2, step)]
    if how == "3-mers":
        return ids, Letters(np.array([0] * 5 + [3] * 64), 1), [0] * 5 + [1 / 64] * 64
    table = np.zeros((69, 69))
    table[2, 5:] = 1 / 64  # after [CLS]
    table[5:, 5:] = [[(kmer[1:] == after[:2]) / 4 for after in KMERS] for kmer in KMERS]
    return ids, Letters(np.array([0] * 5 + [1] * 64), 1, first=2), table


@pytest.mark.parametrize("how", ["bases", "3-mers", "overlapping"])
def test_bits_per_base_are_comparable_over_tokenizers(how):
    """A uniform next base is 2 bits, whatever tokens spell it."""
    random = np.random.default_rng(1)
    lists = []
    for length in (30, 3, 57):
        ids, letters, probabilities = spelt("".join(random.choice(list("ACGT"), length)), how)
        lists.append(ids)
    found = score(Constant(probabilities), Causal(letters), shown(lists))
    assert found[:, 0].tolist() == [30, 3, 57] and found[:, 1] == pytest.approx(2 * found[:, 0])


@pytest.mark.parametrize("how", ["bases", "overlapping"])
def test_windows_do_not_change_the_bases_of_a_record(how):
    random = np.random.default_rng(1)
    ids, letters, probabilities = spelt("".join(random.choice(list("ACGT"), 100)), how)
    (found,) = score(Constant(probabilities), Causal(letters), shown([ids], size=7))
    assert found[0] == 100
    if how == "bases":
        assert found[1] == pytest.approx(200)


def test_masks_and_labels_are_not_needed():
    assert objective_for("causal").misfit(np.array([]), None) is None
    assert LETTERS.mask == 4 and objective_for("causal").head.settings is None
