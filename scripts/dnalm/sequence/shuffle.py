"""Shuffles that keep a sequence's dinucleotide counts."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from dnalm.sequence.alphabet import BASES
from dnalm.sequence.kmers import encode

ATTEMPTS = 20


def dinucleotide_shuffle(sequence: str, rng: np.random.Generator) -> str:
    """A uniformly random sequence with the same dinucleotide counts, first and last base.

    A random Eulerian path through the multigraph of the sequence's steps (Altschul and Erickson 1985): a random tree of
    last exits, then the other exits of each base in random order. With four bases there are at most 27 trees, so one is
    drawn from their exact distribution instead of by rejection. `sequence` holds A, C, G, T only.
    """
    if len(sequence) < 3:
        return sequence
    codes, _ = encode([sequence])
    first, final = int(codes[0]), int(codes[-1])
    exits = [codes[1:][codes[:-1] == base] for base in range(4)]
    last = _last_exits(exits, final, rng)
    order: list[list[int]] = []
    for base in range(4):
        others = exits[base]
        if base in last:
            others = np.delete(others, np.argmax(others == last[base]))
        permuted = rng.permutation(others).tolist()
        order.append([last[base], *permuted] if base in last else permuted)
    path = bytearray([first])
    base = first
    for _ in range(len(sequence) - 1):
        base = order[base].pop()
        path.append(base)
    return path.translate(bytes(BASES, "ascii").ljust(256)).decode("ascii")


def _last_exits(exits: list[NDArray[np.uint8]], final: int, rng: np.random.Generator) -> dict[int, int]:
    """For each base but the final one, the base after its last occurrence: a tree, drawn by its number of paths."""
    bases = [base for base in range(4) if base != final and len(exits[base])]
    counts = {base: np.bincount(exits[base], minlength=4) for base in bases}
    trees, weights = [], []
    for targets in product(*([to for to in range(4) if to != base and counts[base][to]] for base in bases)):
        tree = dict(zip(bases, targets, strict=True))
        if all(_arrives(tree, base, final) for base in bases):
            trees.append(tree)
            weights.append(float(np.prod([float(counts[base][to]) for base, to in tree.items()])))
    return trees[rng.choice(len(trees), p=np.array(weights) / sum(weights))]


def _arrives(tree: dict[int, int], base: int, final: int) -> bool:
    """Whether following the tree from a base leads to the final one."""
    for _ in tree:
        base = tree.get(base, final)
    return base == final


def distinct_shuffles(sequence: str, count: int, taken: set[str], rng: np.random.Generator) -> list[str] | None:
    """`count` different shuffles that are not in `taken`, or None if `ATTEMPTS` + `count` tries do not find them."""
    found: dict[str, None] = {}
    for _ in range(ATTEMPTS + count):
        shuffled = dinucleotide_shuffle(sequence, rng)
        if shuffled not in taken:
            found[shuffled] = None
        if len(found) == count:
            return list(found)
    return None
