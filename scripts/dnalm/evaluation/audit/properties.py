"""The properties of a sequence that a probe may look at, by name; apart from the probes, so that pages need no scikit-learn."""

END_BASES = 6
"""Bases at either end, and from inside, that are looked at, as triplets."""


def title(probe: str) -> str:
    """A probe's name in words."""
    name, _, model = probe.partition("/")
    return _TITLES[name] + (f" of {model}" if model else "")


_TITLES = {
    "length": "length",
    "gc": "GC",
    "length_gc": "length with GC",
    "case": "soft-masking",
    "ambiguity": "letters other than ACGT",
    "inner_kmer": f"{END_BASES} bases from inside (control)",
    "first_kmer": f"the first {END_BASES} bases",
    "last_kmer": f"the last {END_BASES} bases",
    "periodicity": "best self-match at any period",
    "tokens": "the number of tokens",
}
