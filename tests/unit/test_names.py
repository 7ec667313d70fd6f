"""Names and shards."""

from hypothesis import given
from hypothesis import strategies as st

from dnalm.names import is_name, shard_chromosomes


def test_names_are_safe_everywhere():
    assert all(map(is_name, ["a", "GRCh38.p14", "1", "a_b-c"]))
    assert not any(map(is_name, ["", "a b", "../x", "-x", ".x", "<b>", "$(x)", "a/b", "x\n"]))


@given(st.dictionaries(st.text("abc123", min_size=1, max_size=4), st.integers(0, 1000), max_size=30), st.integers(1, 9))
def test_every_chromosome_is_in_exactly_one_shard(lengths, shards):
    parts = [shard_chromosomes(lengths, shard, shards) for shard in range(shards)]
    assert sorted(name for part in parts for name in part) == sorted(lengths)
    assert all(part == [name for name in lengths if name in part] for part in parts)


def test_the_longest_chromosomes_are_spread():
    lengths = {"a": 1, "b": 9, "c": 5, "d": 4}
    assert [shard_chromosomes(lengths, shard, 2) for shard in (0, 1)] == [["a", "b"], ["c", "d"]]
