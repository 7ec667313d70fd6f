import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnalm.errors import UserError
from dnalm.training.engine.windows import cut

IDS = ["a", "b", "c", "d"]


def rows(windows, lengths):
    start, stop = windows.bounds(np.array(lengths))
    return list(zip(windows.record.tolist(), start.tolist(), stop.tolist(), strict=True))


def test_windows_by_hand():
    lengths = [3, 10, 25, 11]
    windows = cut(np.array(lengths), 10, "window", IDS)
    assert rows(windows, lengths) == [
        (0, 0, 3),
        (1, 0, 10),
        (2, 0, 10),
        (2, 7, 17),
        (2, 15, 25),
        (3, 0, 10),
        (3, 1, 11),
    ]
    assert windows.counts() == {"records": 4, "overlong": 2, "dropped": 0, "windows": 7}


def test_truncate_keeps_the_beginning():
    assert rows(cut(np.array([3, 25]), 10, "truncate", IDS), [3, 25]) == [(0, 0, 3), (1, 0, 10)]


def test_drop_leaves_out_and_counts():
    windows = cut(np.array([3, 25, 10, 11]), 10, "drop", IDS)
    assert windows.kept.tolist() == [0, 2]
    assert windows.counts() == {"records": 4, "overlong": 2, "dropped": 2, "windows": 2}


def test_error_counts_and_names_the_first():
    with pytest.raises(UserError, match="2 of 4 records are longer than 10 tokens, the first is 'b'"):
        cut(np.array([3, 25, 10, 11]), 10, "error", IDS)
    assert len(cut(np.array([3, 10]), 10, "error", IDS)) == 2


def test_only_the_chosen_records_count():
    windows = cut(np.array([3, 25, 10, 11]), 10, "window", IDS, among=np.array([3, 0]))
    assert windows.kept.tolist() == [0, 3] and windows.records == 2 and windows.overlong == 1


def test_the_other_strand_has_as_many_windows_and_is_covered_too():
    forward, reverse = np.array([18]), np.array([25])
    windows = cut(np.maximum(forward, reverse), 10, "window", IDS)
    assert rows(windows, forward) == [(0, 0, 10), (0, 4, 14), (0, 8, 18)]
    assert rows(windows, reverse) == [(0, 0, 10), (0, 7, 17), (0, 15, 25)]


def test_a_model_without_a_limit_takes_all_whatever_the_type_of_lengths():
    for kind in (np.int32, np.int64):
        lengths = np.array([3, 2**31 - 1], dtype=kind)
        windows = cut(lengths, 2**40, "error", IDS)
        assert rows(windows, lengths) == [(0, 0, 3), (1, 0, 2**31 - 1)]


def test_places_in_very_long_records_are_exact():
    lengths = np.array([2**31 - 1], dtype=np.int32)
    windows = cut(lengths, 2**20, "window", IDS)
    start, stop = windows.bounds(lengths)
    exact = [i * (2**31 - 1 - 2**20) // (len(windows) - 1) for i in range(len(windows))]
    assert start.tolist() == exact and stop[-1] == 2**31 - 1


def test_records_that_fit_take_four_bytes_each():
    windows = cut(np.full(1000, 7, dtype=np.int32), 10, "window", IDS)
    assert windows.record.nbytes == 4000 and set(windows.part.strides + windows.parts.strides) == {0}
    start, stop = windows.bounds(np.full(1000, 7, dtype=np.int32))
    assert start.nbytes + stop.nbytes == 8000 and windows.kept.tolist() == list(range(1000))


@given(st.lists(st.integers(1, 200), min_size=1, max_size=10), st.integers(1, 40))
def test_windows_cover_every_token_with_as_few_as_can(lengths, size):
    lengths = np.array(lengths)
    windows = cut(lengths, size, "window", [str(i) for i in range(len(lengths))])
    start, stop = windows.bounds(lengths)
    assert (stop - start <= size).all() and (start >= 0).all()
    for record, length in enumerate(lengths):
        mine = windows.record == record
        assert mine.sum() == -(-length // size)
        covered = np.zeros(length, dtype=bool)
        for a, b in zip(start[mine], stop[mine], strict=True):
            covered[a:b] = True
        assert covered.all()
        assert np.ptp(stop[mine] - start[mine]) == 0
