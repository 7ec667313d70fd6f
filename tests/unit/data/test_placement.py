from types import SimpleNamespace

import numpy as np
import pandas as pd
from simulated_splits import LETTERS, random_sequences

from dnalm.data.placement import NO_SEQUENCE, NOT_FOUND, TOO_SHORT, place
from dnalm.sequence.alphabet import reverse_complement


def genome_of(chromosomes):
    return SimpleNamespace(
        references=list(chromosomes),
        lengths=[len(text) for text in chromosomes.values()],
        get_reference_length=lambda name: len(chromosomes[name]),
        fetch=lambda name, start, end: chromosomes[name][start:end],
    )


def changed(rng, text, rate):
    """The text with this fraction of its bases substituted."""
    codes = np.frombuffer(text.encode(), np.uint8).copy()
    places = rng.choice(len(codes), round(rate * len(codes)), replace=False)
    codes[places] = LETTERS[(np.searchsorted(LETTERS, codes[places]) + rng.integers(1, 4, len(places))) % 4]
    return codes.tobytes().decode()


def test_copies_are_found_on_both_strands_with_their_number():
    rng = np.random.default_rng(1)
    units = random_sequences(rng, [20, 33, 25, 40])
    arrays = [unit * 5 for unit in units]
    filler = random_sequences(rng, [500] * 5)
    fewer = units[2] * 3  # an allele with two copies less
    text = filler[0] + arrays[0] + filler[1] + reverse_complement(arrays[1]) + filler[2] + arrays[0].lower()
    chromosomes = {"chr1": text + filler[3], "chr2": "N" * 100 + filler[4] + fewer + "N" * 50}
    table = pd.DataFrame(
        {"id": list("abcdef"), "sequence": [*arrays[:3], arrays[3], None, "ACGTTGCA"]}  # d is nowhere
    )
    places, ledger = place(table, "sample", genome_of(chromosomes))
    assert ledger["ledger"] == [
        {"stage": "place_catalogue", "source": "sample", "in": 6, "kept": 3,
         "dropped": {NO_SEQUENCE: 1, NOT_FOUND: 1, TOO_SHORT: 1}}
    ]  # fmt: skip
    truth = [("chr1", 500, 600, "a"), ("chr1", 1100, 1265, "b"), ("chr1", 1765, 1865, "a"), ("chr2", 600, 675, "c")]
    assert len(places) == len(truth)
    for found, (chrom, start, end, name) in zip(places.itertuples(), truth, strict=True):
        assert (found.chrom, found.id) == (chrom, name)
        assert start - 20 <= found.start <= start and end <= found.end <= end + 20
    assert ledger["placed"]["sample"] == {
        "arrays": 3, "at_several_places": 1, "places": 4, "bases": int((places["end"] - places["start"]).sum()),
    }  # fmt: skip


def test_near_copies_are_found_and_little_else():
    rng = np.random.default_rng(2)
    arrays = [unit * 4 for unit in random_sequences(rng, rng.integers(15, 60, 200).tolist())]
    parts, spans, length = [], [], 0
    for array, filler in zip(arrays, random_sequences(rng, [300] * 200), strict=True):
        copy = changed(rng, array, 0.05)
        parts += [filler, copy]
        spans.append((length + 300, length + 300 + len(copy)))
        length += 300 + len(copy)
    catalogue = pd.DataFrame({"id": [str(i) for i in range(200)], "sequence": arrays})
    places, _ = place(catalogue, "sample", genome_of({"chr1": "".join(parts)}))
    masked = np.zeros(length, bool)
    for start, end in zip(places["start"], places["end"], strict=True):
        masked[start:end] = True
    within = np.array([masked[start:end].mean() for start, end in spans])
    assert np.mean(within > 0.5) >= 0.98 and within.mean() > 0.95
    for start, end in spans:
        masked[start:end] = False
    assert masked.mean() < 0.02


def test_a_catalogue_without_usable_arrays_has_no_places():
    places, ledger = place(pd.DataFrame({"id": ["a"], "sequence": ["ACG"]}), "s", genome_of({"chr1": "ACGT" * 50}))
    assert places.empty and list(places) == ["chrom", "start", "end", "id"]
    assert ledger["ledger"][0]["dropped"] == {TOO_SHORT: 1}
