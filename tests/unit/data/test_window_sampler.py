import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnalm.data import window_sampler as windows_module
from dnalm.data.window_sampler import WindowSampler


def cut(text, starts_and_ends):
    starts, ends = np.array(starts_and_ends, np.int64).reshape(-1, 2).T
    return np.frombuffer(text.encode(), np.uint8), starts, ends


def gc(text):
    return sum(text.upper().count(base) for base in "GC")


def sampler_of(text, pieces, longest, seed=0):
    return WindowSampler(*cut(text, pieces), longest, np.random.default_rng(seed))


pieces_of_40 = st.lists(st.integers(0, 40), min_size=2, max_size=8, unique=True).map(
    lambda cuts: list(zip(sorted(cuts)[::2], sorted(cuts)[1::2], strict=False))
)
requests = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 3), st.integers(1, 3)), max_size=12)


@given(st.text("ACGTacgt", min_size=40, max_size=40), pieces_of_40, requests, st.integers(0, 3))
@settings(deadline=None)
def test_draws_fit_are_disjoint_and_are_found_whenever_there_is_one(text, pieces, asked, seed):
    sampler = sampler_of(text, pieces, 9, seed)
    free = np.zeros(41, bool)
    for start, end in pieces:
        free[start:end] = True
    edges = {start for start, _ in pieces}

    def fitting(length, low, high):
        return [
            at
            for at in range(40 - length + 1)
            if free[at : at + length].all()
            and not edges & set(range(at + 1, at + length))
            and low <= gc(text[at : at + length]) <= high
        ]

    for length, low, width, count in asked:
        high = low + width
        there = fitting(length, low, high)
        assert sampler.count(length, np.array([low]), np.array([high])).tolist() == [len(there)]
        before = free.copy()
        found = sampler.draw(length, low, high, count)
        if count == 1:
            assert (found is None) == (not there)
        for start in found or []:
            assert start in fitting(length, low, high)
            free[start : start + length] = False
        if found is None:
            assert (free == before).all()
            assert sampler.count(length, np.array([low]), np.array([high])).tolist() == [len(there)]


def test_windows_drawn_before_are_not_free():
    sampler = sampler_of("ACGT" * 5, [(0, 8), (10, 20)], 6)
    sampler.take(12, 6)
    assert sampler.draw(4, 0, 4, 3) is None
    assert sorted(sampler.draw(4, 0, 4, 2) or []) == [0, 4]


def test_every_window_is_equally_likely():
    drawn = [sampler_of("A" * 20, [(2, 6), (10, 15)], 3, seed).draw(3, 0, 0, 1) for seed in range(2000)]
    counts = np.bincount([start for starts in drawn for start in starts or []])
    assert counts.nonzero()[0].tolist() == [2, 3, 10, 11, 12]
    assert counts[counts > 0] == pytest.approx(400, abs=90)


def test_a_rare_window_is_found_among_many(monkeypatch):
    monkeypatch.setattr(windows_module, "SAMPLE", 4)
    text = "A" * 5000 + "G" * 10 + "A" * 5000
    assert sampler_of(text, [(0, 10010)], 10).draw(10, 10, 10, 1) == [5000]
    monkeypatch.setattr(windows_module, "EXHAUSTIVE", 1000)
    monkeypatch.setattr(windows_module, "STRIDED", 2000)  # every fifth window
    found = sampler_of(text, [(0, 10010)], 10).draw(10, 5, 10, 1)
    assert found is not None
    assert 4995 <= found[0] <= 5005
