import numpy as np
import pytest
import torch
from closeness import close
from needed import needs
from small_models import TINY, classifier_checkpoint, random_dna, small_tokenizer

from dnalm.training.engine.feeds import Examples
from dnalm.training.engine.scoring import exactly, score
from dnalm.training.engine.windows import cut
from dnalm.training.models.loading import build
from dnalm.training.models.tokenization import in_memory
from dnalm.training.models.tokenizers import specials_of
from dnalm.training.objectives.classification import Classification
from dnalm.training.prediction import FinishedModel

TOKENIZER = small_tokenizer()
SPECIALS = specials_of(TOKENIZER)
OBJECTIVE = Classification({0: "no", 1: "yes"})


def sequences(count=60):
    random = np.random.default_rng(5)
    return [random_dna(random, int(random.integers(4, 200))) for _ in range(count)]


def examples(texts, size=40, overlong="window"):
    tokens = in_memory(TOKENIZER, texts)
    return Examples(tokens, cut(tokens.lengths, size, overlong, [str(i) for i in range(len(texts))]), SPECIALS)


def written(scores):
    """Scores as predictions.parquet holds them."""
    nothing = np.zeros(len(scores), dtype=np.int64)
    columns = OBJECTIVE.predictions(nothing.astype(object), nothing, scores).columns()
    return np.stack([columns["score_0"], columns["score_1"]], axis=1)


def model_of(kind):
    sizes = {k: v for k, v in TINY.items() if k != "model_type"}
    more = {} if kind in ("bert", "roberta") else {"num_key_value_heads": 2}
    model = build({"model_type": kind, **sizes, **more}, OBJECTIVE.head, SPECIALS, len(TOKENIZER), seed=1)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.2)  # the usual start would give every sequence the same score
    return exactly(model, torch.device("cpu"))


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama", "mistral", "mixtral"])
def test_scores_do_not_depend_on_batch_size_or_company(kind):
    model, texts = model_of(kind), sequences()
    scores = [written(score(model, OBJECTIVE, examples(texts), size)) for size in (1, 7, 64)]
    assert np.ptp(scores[0][:, 1]) > 0.01
    assert (scores[0] == scores[1]).all() and (scores[0] == scores[2]).all()
    alone = np.concatenate([written(score(model, OBJECTIVE, examples([text]), 64)) for text in texts[:10]])
    assert (alone == scores[0][:10]).all()


@pytest.mark.gpu
@needs("a CUDA GPU")
@pytest.mark.parametrize("kind", ["bert", "mixtral"])
def test_scores_on_a_gpu_are_those_on_the_cpu(kind):
    data = examples(sequences())
    on_cpu = written(score(model_of(kind), OBJECTIVE, data, 64))
    on_gpu = written(score(exactly(model_of(kind), torch.device("cuda")), OBJECTIVE, data, 64))
    assert close(on_gpu, on_cpu, 1.5e-6)  # some layers of mixtral work in fp32 whatever they are given


def test_scores_of_windows_are_averaged():
    model, text = model_of("bert"), sequences(1)[0] * 3
    data = examples([text, "ACGT"])
    assert data.windows.parts[0] > 2
    scores = score(model, OBJECTIVE, data, 8)
    tokens = in_memory(TOKENIZER, [text])
    start, stop = cut(tokens.lengths, 40, "window", ["0"]).bounds(tokens.lengths)
    expected = []
    for a, b in zip(start, stop, strict=True):
        ids = [*SPECIALS.prefix, *tokens.ids[a:b].tolist(), *SPECIALS.suffix]
        with torch.inference_mode():
            expected.append(torch.softmax(model(input_ids=torch.tensor([ids])).logits[0], -1).numpy())
    assert close(scores[0], np.mean(expected, axis=0), 1e-12)
    assert scores.sum(axis=1) == pytest.approx([1, 1])


def test_dropped_records_have_no_score():
    data = examples(["ACGT", "ACGTTGCA" * 40, "TTTT"], overlong="drop")
    assert score(model_of("bert"), OBJECTIVE, data, 8).shape == (2, 2)
    assert data.windows.kept.tolist() == [0, 2]


def test_prediction_leaves_the_training_mode_as_it_was():
    model = model_of("bert").train()
    first, again = (score(model, OBJECTIVE, examples(["ACGTACGT"]), 8) for _ in range(2))
    assert model.training and (first == again).all()


def test_quality_by_hand():
    found = OBJECTIVE.quality(np.array([[0.8, 0.2], [0.4, 0.6], [0.9, 0.1]]), np.array([0, 1, 1]))
    assert found["loss"] == pytest.approx(-(np.log(0.8) + np.log(0.6) + np.log(0.1)) / 3)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert np.isfinite(OBJECTIVE.quality(np.array([[1.0, 0.0]]), np.array([1]))["loss"])


def test_a_finished_model_keeps_its_limit_and_names(tmp_path):
    tokenizer = small_tokenizer()
    tokenizer.model_max_length = 30
    classifier_checkpoint(tmp_path, tokenizer, labels={0: "unique", 1: "repeat"})
    finished = FinishedModel.open(tmp_path, "cpu")
    assert finished.size == 28 and finished.labels == ["unique", "repeat"]
    assert FinishedModel.open(tmp_path, "cpu", max_tokens=12).size == 10
    tokens = in_memory(finished.tokenizer, ["ACGT" * 60, "ACGA"])
    scores, windows = finished.score(tokens, ["a", "b"], "window")
    assert windows.overlong == 1 and scores.shape == (2, 2)
    assert list(finished.columns(scores)) == ["predicted", "score_unique", "score_repeat"]
    assert finished.float_format % (1 / 3) == "0.333333"


@pytest.mark.parametrize(("most", "rows"), [(None, [20, 20, 20]), (100, None), (1, [1] * 60)])
def test_a_batch_has_the_tokens_it_may_have(most, rows):
    """Long windows are scored a few at a time, whatever the number of windows asked for."""
    model, data, shapes = model_of("bert"), examples(sequences(), overlong="truncate"), []
    model.register_forward_pre_hook(
        lambda _, __, batch: shapes.append(tuple(batch["input_ids"].shape)), with_kwargs=True
    )
    scores = score(model, OBJECTIVE, data, 20, most_tokens=most)
    batches = list(shapes)
    assert len(scores) == 60 and sum(count for count, _ in batches) == 60
    assert (written(scores) == written(score(model, OBJECTIVE, data, 64))).all()
    if rows:
        assert [count for count, _ in batches] == rows
    else:
        assert len({count for count, _ in batches}) > 1
        assert all(count * width <= most for count, width in batches)
        assert all((count + 1) * width > most or count == 20 for count, width in batches[:-1])
