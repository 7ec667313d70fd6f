"""Facts about the DNA alphabet."""

BASES = "ACGT"
IUPAC = "ACGTRYSWKMBDHVN"
"""Letters allowed in DNA (NC-IUB 1984), upper case; no U, which DNA tokenizers do not know."""

_COMPLEMENT = str.maketrans("ACGTURYSWKMBDHVNacgturyswkmbdhvn", "TGCAAYRSWMKVHDBNtgcaayrswmkvhdbn")


def reverse_complement(sequence: str) -> str:
    """The other strand, read 5' to 3'; ambiguity codes are complemented and case is kept."""
    return sequence.translate(_COMPLEMENT)[::-1]
