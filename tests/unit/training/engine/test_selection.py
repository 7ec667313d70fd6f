"""Which engine a training gets, on the CPU, and why."""

import numpy as np
import pytest
import torch
from packed_models import FAMILIES, OBJECTIVE, classifier, sequences
from processes import together

from dnalm.errors import UserError
from dnalm.training.engine import selection
from dnalm.training.engine.feeds import PaddedFeed
from dnalm.training.engine.packing import PackedFeed
from dnalm.training.engine.selection import choose
from dnalm.training.engine.team import Team

CPU = torch.device("cpu")
ALONE = Team(0, 1, 0, CPU)


def engine(wanted, model=None, bf16=False, sharded=False, most_tokens=None):
    return choose(model or classifier("bert"), OBJECTIVE, sequences(40), wanted, 8, ALONE, bf16, sharded, most_tokens)


@pytest.mark.parametrize(
    ("wanted", "sharded", "because"),
    [
        ("padded", False, "as the recipe says"),
        ("auto", False, "packing pays on a CUDA GPU in bf16 alone"),
        ("auto", True, "a model divided among processes is not packed"),
    ],
)
def test_padded_says_why(capsys, wanted, sharded, because):
    found = engine(wanted, sharded=sharded)
    assert found.facts == {"kind": "padded", "because": because, "most_tokens": selection.CPU_TOKENS}
    assert isinstance(found.feed, PaddedFeed) and found.packed is None
    assert capsys.readouterr().err == f"engine: padded ({because})\n"


def test_packed_is_proven_and_says_its_shape(capsys):
    found = engine("packed", most_tokens=192)
    assert isinstance(found.feed, PackedFeed) and found.packed is found.forward
    assert found.packed.longest == found.feed.longest
    assert found.facts["because"] == "shown to give the same results as padded"
    assert (found.facts["kind"], found.facts["most_tokens"]) == ("packed", 192)
    assert (found.facts["row_tokens"], found.facts["row_slots"]) == (found.feed.tokens, found.feed.slots)
    assert "engine: packed (shown" in capsys.readouterr().err


@pytest.mark.parametrize("wanted", ["padded", "packed"])
def test_a_micro_batch_has_the_tokens_it_may_have(wanted):
    feed = engine(wanted, most_tokens=192).feed
    for batch in feed.batches(0):
        for (row,) in feed.divide(batch, 1):
            assert feed.collate(row, np.ones(len(row), dtype=np.float32))["input_ids"].numel() <= 192


def test_packed_that_cannot_be_is_refused(monkeypatch):
    with pytest.raises(UserError, match=r"recipe\.engine: this model cannot be packed: a model divided among"):
        engine("packed", sharded=True)
    monkeypatch.setattr(selection, "prove", lambda *_: "its logits differ")
    with pytest.raises(UserError, match=r"^recipe\.engine: .* packed: its logits differ; use auto or padded$"):
        engine("packed")


def test_a_packed_model_takes_padded_batches_to_be_validated():
    model = classifier("bert")
    batch = {"input_ids": torch.tensor([[2, 7, 8, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.int64)}
    before = model(**batch).logits
    found = engine("packed", model)
    with found.padded() as padded:
        assert padded is model and torch.equal(padded(**batch).logits, before)
    with engine("padded", model).padded() as padded:
        assert padded is model


def test_one_process_that_cannot_pack_decides_for_all(tmp_path):
    """And the process with the least memory how many tokens a micro-batch has."""
    found = together(
        tmp_path,
        """
from packed_models import OBJECTIVE, classifier, sequences
from dnalm.training.engine import selection
from dnalm.errors import UserError
selection.prove = lambda *_: "only here" if team.rank == 1 else None
try:
    selection.choose(classifier("bert"), OBJECTIVE, sequences(40), "packed", 8, team, False, False)
except UserError as error:
    give(str(error))
""",
    )
    assert found == ["recipe.engine: this model cannot be packed: only here; use auto or padded"] * 2


@pytest.mark.parametrize("family", FAMILIES)
def test_models_with_a_sliding_window_are_known(family):
    assert selection._has_window(classifier(family).config) == (
        family in ("mistral", "modernbert-cls", "modernbert-mean")
    )


@pytest.mark.parametrize("wanted", ["padded", "packed"])
def test_memory_is_measured_where_sequences_are_longest(monkeypatch, wanted):
    """Padded, attention takes more for a token of a long row than of a short one."""
    data, model = sequences(200), classifier("bert")
    widths, asked = [], {}

    def forward(micro):
        widths.append(int(micro["input_ids"].shape[1]))
        return usual.forward(micro)

    def fitting(run, sizes, device, reserved):
        asked["reserved"] = reserved
        return run(256)

    usual = choose(model, OBJECTIVE, data, wanted, 64, ALONE, False, False, 256)
    monkeypatch.setattr(selection, "fitting_tokens", fitting)
    longest = np.argsort(-data.lengths, kind="stable")[:64]

    def feed(most):
        return PaddedFeed(data, OBJECTIVE, 64, most) if wanted == "padded" else PackedFeed(data, OBJECTIVE, 64, most)

    assert selection._measured(model, forward, feed, longest, CPU, False, 2) == 256
    assert widths == [-(-int(data.lengths.max()) // 8) * 8 if wanted == "padded" else 256]
    assert asked["reserved"] == selection.ADAMW_BYTES * model.num_parameters() // 2
    assert all(parameter.grad is None for parameter in model.parameters())
