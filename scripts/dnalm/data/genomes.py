"""Genomes: any FASTA in, one bgzip-packed, indexed FASTA out; and reading the bases of a chromosome."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pysam
from numpy.typing import NDArray
from pysam.utils import SamtoolsError
from tqdm import tqdm

from dnalm.errors import UserError
from dnalm.files import atomic
from dnalm.sequence.fasta import read_fasta

LINE = 60
"""Bases per line of the FASTA files we write."""

_BLOCK = LINE * 65_536
"""Bases read or written at a time: memory does not grow with the chromosome."""


class FastaWriter:
    """Writes bgzip-packed FASTA, 60 bases per line. The bytes do not depend on the sizes of the blocks written."""

    def __init__(self, path: Path | str) -> None:
        """Open `path` for writing; use as a context manager."""
        self._path = path
        # the fastest level: seven times faster than the default, files a tenth larger
        self._file = pysam.BGZFile(str(path), "wb1")  # type: ignore[call-arg]
        self._rest = b""

    def start(self, name: str) -> None:
        """Begin the record `name`."""
        self._end_line()
        self._put(b">%s\n" % name.encode())

    def write(self, bases: bytes | memoryview) -> None:
        """Add bases to the record begun last."""
        for offset in range(0, len(bases), _BLOCK):
            block = self._rest + bytes(bases[offset : offset + _BLOCK])
            whole = len(block) // LINE * LINE
            lines = np.full((whole // LINE, LINE + 1), ord("\n"), np.uint8)
            lines[:, :LINE] = np.frombuffer(block, np.uint8, whole).reshape(-1, LINE)
            self._put(lines.tobytes())
            self._rest = block[whole:]

    def _end_line(self) -> None:
        if self._rest:
            self._put(self._rest + b"\n")
            self._rest = b""

    def _put(self, text: bytes) -> None:
        try:
            self._file.write(text)
        except OSError as error:
            raise self._full() from error

    def _full(self) -> UserError:
        """The error for a failed write; pysam does not tell why it failed."""
        return UserError(f"{self._path}: cannot be written; is the disk full?")

    def __enter__(self) -> "FastaWriter":
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the last line and close the file."""
        try:
            if kind is None:
                self._end_line()
            self._file.close()
        except OSError as failure:
            if kind is None:  # otherwise the first error is raised
                raise self._full() from failure


def open_genome(path: Path | str) -> Any:
    """A `pysam.FastaFile` of an indexed FASTA; one that cannot be opened is a `UserError`."""
    try:
        return pysam.FastaFile(str(path))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not an indexed FASTA ({error})") from error


def chromosome_lengths(genome: Any) -> dict[str, int]:
    """Length in bases of each chromosome, in the genome's order, from the index."""
    return dict(zip(genome.references, genome.lengths, strict=True))


def read_bases(genome: Any, name: str, first: int = 0, last: int | None = None) -> NDArray[np.uint8]:
    """The bases of a chromosome, or of its part from `first` to before `last`, as ASCII codes, case kept: 1-D."""
    last = genome.get_reference_length(name) if last is None else last
    bases = np.empty(last - first, np.uint8)
    for start in range(first, last, _BLOCK):
        block = genome.fetch(name, start, min(start + _BLOCK, last))
        bases[start - first : start - first + len(block)] = np.frombuffer(block.encode(), np.uint8)
    return bases


def import_fasta(parts: Iterable[tuple[str, Path]], chromosomes: Sequence[str] | None, output: Path) -> dict[str, int]:
    """Write the records of some FASTA files (plain, gzip or bgzip) as one bgzip-packed FASTA with .fai and .gzi.

    `parts` are (name, file): a part called `all` provides every record, any other part only the chromosome of its
    name, which it must hold. Only `chromosomes`, if given, are kept, in that order. Case is kept. Returns the length of
    each chromosome written. Raises `UserError` naming file, line and record for what is not nucleotide FASTA.
    """
    twice = {name for name in chromosomes or () if list(chromosomes or ()).count(name) > 1}
    if twice:
        raise UserError(f"chromosomes: {', '.join(sorted(twice))} listed twice")
    fai, gzi = (output.with_name(output.name + suffix) for suffix in (".fai", ".gzi"))
    with atomic(gzi) as new_gzi, atomic(fai) as new_fai, atomic(output) as packed:
        lengths = _copy(parts, chromosomes, packed)
        index_fasta(packed, new_fai, new_gzi)
        if chromosomes is not None and list(lengths) != list(chromosomes):
            with atomic(packed) as reordered:
                _reorder(packed, new_fai, new_gzi, chromosomes, reordered)
            index_fasta(packed, new_fai, new_gzi)
            lengths = {name: lengths[name] for name in chromosomes}
    return lengths


def index_fasta(fasta: Path, fai: Path, gzi: Path) -> None:
    """Write the indices .fai and .gzi of a bgzip-packed FASTA."""
    try:
        pysam.faidx(str(fasta), "--fai-idx", str(fai), "--gzi-idx", str(gzi))
    except SamtoolsError as error:
        raise UserError(f"{fasta}: cannot be indexed; is the disk full?") from error


def _reorder(fasta: Path, fai: Path, gzi: Path, chromosomes: Sequence[str], output: Path) -> None:
    source = pysam.FastaFile(str(fasta), filepath_index=str(fai), filepath_index_compressed=str(gzi))
    with source, FastaWriter(output) as writer:
        for name in chromosomes:
            writer.start(name)
            length = source.get_reference_length(name)
            for start in range(0, length, _BLOCK):
                writer.write(source.fetch(name, start, min(start + _BLOCK, length)).encode())


def _copy(parts: Iterable[tuple[str, Path]], chromosomes: Sequence[str] | None, output: Path) -> dict[str, int]:
    """Write the wanted records, in the order of the files, and return their lengths; all records are checked."""
    kept: dict[str, int] = {}
    with FastaWriter(output) as writer, tqdm(unit="b", unit_scale=True, desc="import", mininterval=1) as bar:
        for part, path in parts:
            wanted = chromosomes if part == "all" else [part]
            here: dict[str, int] = {}
            record = 0
            for line, name, bases in read_fasta(path):
                bar.update(len(bases))
                is_wanted = wanted is None or name in wanted
                if line != record:
                    if name in here:
                        raise UserError(
                            f"{path}, line {line}: a second record is called '{name}'; names must be unique"
                        )
                    record, here[name] = line, 0
                    if is_wanted:
                        writer.start(name)
                here[name] += len(bases)
                if is_wanted:
                    writer.write(bases)
            for name in wanted or ():
                if name not in here:
                    raise UserError(f"{path}: no record '{name}'; {_there_is(name, here)}")
            kept |= {name: length for name, length in here.items() if wanted is None or name in wanted}
    return kept


def _there_is(name: str, names: Mapping[str, int]) -> str:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6) or [n for n in names if name in n or n in name][:3]
    if near:
        return f"did you mean {', '.join(near)}?"
    more = ", ..." if len(names) > 5 else ""
    return f"the file has {', '.join(list(names)[:5])}{more}"
