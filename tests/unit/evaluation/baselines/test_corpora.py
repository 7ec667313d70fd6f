"""Baselines of a corpus on sequences whose entropy is known."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dnalm.errors import UserError
from dnalm.evaluation.baselines import corpora, mixing
from dnalm.evaluation.baselines.contexts import DenseTable, SortedTable, Text, tolerant_follows
from dnalm.sequence.alphabet import reverse_complement
from dnalm.sequence.kmers import decode, encode
from dnalm.tables.corpora import SCHEMA, CorpusWriter
from dnalm.tables.predictions import BitPredictions


@pytest.fixture(autouse=True)
def _short_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense tables up to order 8 only, for speed; longer orders are sorted."""
    monkeypatch.setattr("dnalm.evaluation.baselines.contexts.LONGEST_DENSE", 8)
    monkeypatch.setattr(corpora, "MARKOV_ORDERS", tuple(range(9)))


def _random(rng: np.random.Generator, bases: int) -> str:
    return decode(rng.integers(4, size=bases))


def _write(folder: Path, soft_masked: list[int] | None = None, **splits: list[str]) -> Path:
    for split, sequences in splits.items():
        rows = [
            {
                "id": f"{split}{i}",
                "sequence": sequence,
                "group": str(i),
                "source": "x",
                "soft_masked": soft_masked or [],
            }
            for i, sequence in enumerate(sequences)
        ]
        with CorpusWriter(folder / f"{split}.parquet") as table:
            table.add(pa.Table.from_pylist(rows, schema=SCHEMA))
    return folder


def _windows(sequence: str, window: int = 200) -> list[str]:
    return [sequence[at : at + window] for at in range(0, len(sequence), window)]


def _test_bits(name: str, folder: Path) -> tuple[float, dict]:
    outcome = corpora.fit_corpus_baseline(name, folder)
    found = outcome.predictions["test"]
    assert isinstance(found, BitPredictions)
    return float(found.counts[:, 1].sum() / found.counts[:, 0].sum()), outcome.record


def test_the_order_and_the_entropy_of_a_markov_source_are_found(tmp_path: Path) -> None:
    """A chain of order 3: `markov` finds k = 3, and bits within 1 % of the entropy rate."""
    rng = np.random.default_rng(1)
    chances = rng.dirichlet([0.5] * 4, size=64)
    codes, state, cost = [], 0, 0.0
    for uniform in rng.random(400_000):
        base = min(int(np.searchsorted(chances[state].cumsum(), uniform)), 3)
        cost -= np.log2(chances[state, base])
        codes.append(base)
        state = (4 * state + base) % 64
    entropy = cost / len(codes)
    text = decode(np.array(codes))
    folder = _write(
        tmp_path, train=_windows(text[:300_000], 2000), validation=_windows(text[300_000:350_000], 2000),
        test=_windows(text[350_000:], 2000),
    )  # fmt: skip
    bits, record = _test_bits("markov", folder)
    assert record["chosen"]["k"] == 3
    assert not record["chosen"]["inverted_repeats"]
    assert bits == pytest.approx(entropy, rel=0.01)
    # inverted repeats cost a source whose strands differ about 5 % (docs/lab-notebook.md)
    assert entropy < _test_bits("mixture", folder)[0] < 1.1 * entropy


def test_nothing_is_learnt_from_random_sequence(tmp_path: Path) -> None:
    """2 bits a base: never below 1.99, and hardly above 2."""
    rng = np.random.default_rng(2)
    folder = _write(
        tmp_path, train=_windows(_random(rng, 200_000)), validation=_windows(_random(rng, 20_000)),
        test=_windows(_random(rng, 40_000)),
    )  # fmt: skip
    assert _test_bits("uniform", folder)[0] == 2.0
    for name in ("markov", "mixture"):
        assert 1.99 < _test_bits(name, folder)[0] < 2.01


@pytest.mark.parametrize("inverted", [False, True])
def test_copies_and_inverted_copies_are_known_to_the_mixture(inverted: bool, tmp_path: Path) -> None:
    """Test windows are copies of train with 3 % substitutions, on either strand: far below the Markov chain."""
    rng = np.random.default_rng(3)
    source = _random(rng, 100_000)

    def copies(number: int) -> list[str]:
        found = []
        for at in rng.integers(len(source) - 300, size=number):
            codes = encode([source[at : at + 300]])[0].copy()
            changed = np.flatnonzero(rng.random(300) < 0.03)
            codes[changed] = (codes[changed] + rng.integers(1, 4, size=len(changed))) % 4
            copy = decode(codes)
            found.append(reverse_complement(copy) if inverted else copy)
        return found

    folder = _write(tmp_path, train=_windows(source, 2000), validation=copies(60), test=copies(60))
    markov, mixture = (_test_bits(name, folder)[0] for name in ("markov", "mixture"))
    assert mixture < markov / 2


@pytest.mark.parametrize("inverted", [False, True])
def test_dense_and_sorted_tables_hold_the_counts_of_a_plain_loop(inverted: bool) -> None:
    """Counts by a loop over the records, N and record boundaries left out."""
    records = ["ACGTACGTNACGTTACG", "AC", "", "TTACGTACG"]
    text = Text(*encode(records))
    strands = records + ([reverse_complement(one) for one in records] if inverted else [])
    expected: dict[str, int] = {}
    for record in strands:
        for at in range(len(record) - 3):
            word = record[at : at + 4]
            if "N" not in word:
                expected[word] = expected.get(word, 0) + 1
    contexts = np.arange(64, dtype=np.uint64)
    for kind in (DenseTable, SortedTable):
        found = kind(text, 3, inverted).after(contexts)
        got = {decode(np.array([c >> 4 & 3, c >> 2 & 3, c & 3, b])): int(found[c, b]) for c, b in np.argwhere(found)}
        assert got == expected


def test_a_tolerant_context_goes_on_after_a_substitution() -> None:
    """After one, the order-12 context knows nothing for 12 bases; the tolerant one follows the copy all along."""
    rng = np.random.default_rng(4)
    source = _random(rng, 5000)
    copy = source[1000:1100]
    changed = copy[:50] + ("A" if copy[50] != "A" else "C") + copy[51:]
    table = SortedTable(Text(*encode([source])), 12, False)
    text = Text(*encode([changed, copy]))
    follows = tolerant_follows(table, text)
    assert (follows[12:50, 0] == 1).all()
    assert follows[50].tolist() == [0, 1]
    assert (follows[51:100, 0] == 1).all()
    assert (follows[112:, 0] == 1).all()
    assert (follows[100:112] == 0).all()


def test_weights_are_those_of_the_rule(tmp_path: Path) -> None:
    """The filter gives what a loop of w <- w^gamma p, normalised after each base, gives; N changes no weight."""
    rng = np.random.default_rng(5)
    text = Text(*encode(["ACGTNACGTA", "", "GGT"]))
    chances = rng.uniform(0.05, 0.9, size=(3, len(text))).astype(np.float32)
    initial, gamma = np.array([0.2, 0.3, 0.5]), 0.9
    expected = []
    for first, last in zip(text.offsets[:-1], text.offsets[1:], strict=True):
        weights = initial.copy()
        for at in range(first, last):
            p = np.ones(3) if text.codes[at] == 4 else chances[:, at].astype(float)
            expected.append(0.0 if text.codes[at] == 4 else -np.log2(weights @ p))
            weights = weights**gamma * p
            weights /= weights.sum()
    found = mixing.mixed(chances, text, initial.tolist(), gamma, "forgotten")
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_soft_masked_bases_are_counted_apart_and_other_letters_not(tmp_path: Path) -> None:
    """Bases of a record, and those in its intervals; a letter that is no base costs nothing."""
    sequences = ["ACGTNNACGTACGTACGT"] * 3
    folder = _write(tmp_path, [2, 7, 10, 12], train=sequences, validation=sequences, test=sequences)
    for name in ("uniform", "markov", "mixture"):
        found = corpora.fit_corpus_baseline(name, folder, most_settings=2).predictions["test"]
        assert isinstance(found, BitPredictions)
        assert found.counts[:, [0, 2]].tolist() == [[16, 5]] * 3
        assert (found.counts[:, 3] <= found.counts[:, 1]).all()
    assert found.ids.tolist() == ["test0", "test1", "test2"]


def test_long_orders_are_dropped_where_their_tables_would_not_fit(tmp_path: Path, monkeypatch) -> None:
    """They are named in the record, with the reason."""
    monkeypatch.setattr(corpora, "MOST_SORTED", 100)
    sequences = _windows(_random(np.random.default_rng(6), 4000))
    folder = _write(tmp_path, train=sequences, validation=sequences[:3], test=sequences[3:5])
    record = corpora.fit_corpus_baseline("mixture", folder, most_settings=1).record
    assert record["dropped_orders"] == [13, 14, 16, 18, 20]
    assert "100 bases" in record["dropped_because"]
    assert record["mixture"]["tolerant"] is None


def test_a_corpus_without_bases_and_an_unknown_baseline_are_errors(tmp_path: Path) -> None:
    """They name the file, and the baselines that there are."""
    folder = _write(tmp_path, train=["ACGT"], validation=["NNN"], test=["ACGT"])
    with pytest.raises(UserError, match=r"validation\.parquet: holds no bases"):
        corpora.fit_corpus_baseline("uniform", folder)
    with pytest.raises(UserError, match="uniform, markov, mixture"):
        corpora.fit_corpus_baseline("kmer", folder)
