"""Genomes: any FASTA in, one bgzip-packed, indexed FASTA out, and its bases by chromosome."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import pysam
from numpy.typing import NDArray
from pysam.utils import SamtoolsError
from tqdm import tqdm

from dnalm.errors import UserError
from dnalm.files import atomic, open_bytes
from dnalm.sequence.alphabet import IUPAC

LINE = 60
"""Bases a line of the FASTA files we write."""

_BLOCK = LINE * 65_536
"""Bytes read or written at a time: memory does not grow with the chromosome."""

_BLANK = b" \t\r\n"
_LETTERS = (IUPAC + IUPAC.lower()).replace("U", "").replace("u", "").encode()


class FastaWriter:
    """Writes bgzip-packed FASTA, 60 bases a line. The same records give the same bytes, however they are cut up."""

    def __init__(self, path: Path | str) -> None:
        """Open `path` for writing; use as a context manager."""
        self._path = path
        # The fastest level: seven times faster than the default, a tenth larger.
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
        """What a failure to write is, as far as pysam tells."""
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
            if kind is None:  # else the first error tells it
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


def read_bases(genome: Any, name: str) -> NDArray[np.uint8]:
    """The bases of a whole chromosome as ASCII codes, case kept: shape (length,)."""
    length = genome.get_reference_length(name)
    bases = np.empty(length, np.uint8)
    for start in range(0, length, _BLOCK):
        block = genome.fetch(name, start, min(start + _BLOCK, length))
        bases[start : start + len(block)] = np.frombuffer(block.encode(), np.uint8)
    return bases


def import_fasta(parts: Iterable[tuple[str, Path]], chromosomes: Sequence[str] | None, output: Path) -> dict[str, int]:
    """Write the records of some FASTA files (plain, gzip or bgzip) as one bgzip-packed FASTA with .fai and .gzi.

    `parts` are (name, file): a part called `all` may hold any records, one of another name must hold the chromosome
    of that name, and only that is taken. `chromosomes`, if given, are kept, in that order. Case is kept. Returns the
    length of each chromosome written. Whatever is no nucleotide FASTA is a `UserError` naming file, line and record.
    """
    twice = {name for name in chromosomes or () if list(chromosomes or ()).count(name) > 1}
    if twice:
        raise UserError(f"chromosomes: {', '.join(sorted(twice))} listed twice")
    fai, gzi = (output.with_name(output.name + suffix) for suffix in (".fai", ".gzi"))
    with atomic(gzi) as new_gzi, atomic(fai) as new_fai, atomic(output) as packed:
        lengths = _copy(parts, chromosomes, packed)
        _index(packed, new_fai, new_gzi)
        if chromosomes is not None and list(lengths) != list(chromosomes):
            with atomic(packed) as reordered:
                _reorder(packed, new_fai, new_gzi, chromosomes, reordered)
            _index(packed, new_fai, new_gzi)
            lengths = {name: lengths[name] for name in chromosomes}
    return lengths


def _index(fasta: Path, fai: Path, gzi: Path) -> None:
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
    """Copy the wanted records, in the order of the files, and check all of them."""
    kept: dict[str, int] = {}
    with FastaWriter(output) as writer, tqdm(unit="b", unit_scale=True, desc="import", mininterval=1) as bar:
        for part, path in parts:
            wanted = chromosomes if part == "all" else [part]
            here: dict[str, int] = {}
            for name, bases in _records(path):
                bar.update(len(bases))
                first = name not in here
                here[name] = here.get(name, 0) + len(bases)
                if wanted is None or name in wanted:
                    if first:
                        writer.start(name)
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


def _records(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (record, some of its bases) in order, checked; each record comes at least once."""
    name: str | None = None
    header_line = 0
    length = 0
    names: set[str] = set()
    with open_bytes(path) as stream:
        for line, is_header, text in _pieces(stream):
            if is_header:
                _check_length(path, header_line, name, length)
                name = (text.decode(errors="replace").split(None, 1) or [""])[0]
                header_line, length = line, 0
                if not name or text[:1].isspace():
                    raise UserError(f"{path}, line {line}: a record without a name")
                if name in names:
                    raise UserError(f"{path}, line {line}: a second record is called '{name}'; names must be unique")
                names.add(name)
                continue
            bases = text.translate(None, _BLANK)
            if name is None:
                if bases:
                    start = text.split()[0][:20].decode(errors="replace")
                    raise UserError(f"{path}: not FASTA (starts with {start!r}, not '>')")
            elif bases.translate(None, _LETTERS):
                raise UserError(f"{path}, line {_bad_letter(line, text, name)}")
            elif bases:
                length += len(bases)
                yield name, bases
    if name is None:
        raise UserError(f"{path}: the file is empty")
    _check_length(path, header_line, name, length)


def _check_length(path: Path, line: int, name: str | None, length: int) -> None:
    if name is not None and not length:
        raise UserError(f"{path}, line {line}: record '{name}' has no sequence")


def _bad_letter(line: int, text: bytes, name: str) -> str:
    offset = min(text.index(letter) for letter in set(text.translate(None, _LETTERS + _BLANK)))
    letter = chr(text[offset])
    line += text.count(b"\n", 0, offset)
    return f"{line}: record '{name}' has the letter {letter!r}, which is not DNA; give a nucleotide FASTA"


def _pieces(stream: IO[bytes]) -> Iterator[tuple[int, bool, bytes]]:
    """Yield (number of the first line, is it a header, text): headers whole, sequence lines in large blocks.

    The parsers of Biopython and pysam hold a whole record, know no line numbers and take any letters.
    """
    line = 1
    line_start = True
    header: bytes | None = None
    while block := stream.read(_BLOCK):
        at = 0
        while at < len(block):
            if header is not None:
                end = block.find(b"\n", at)
                header += block[at:] if end < 0 else block[at:end]
                if end < 0:
                    break
                yield line, True, header
                header, line_start, at, line = None, True, end + 1, line + 1
            elif line_start and block[at] == ord(">"):
                header, at = b"", at + 1
            else:
                end = block.find(b"\n>", at)
                text = block[at:] if end < 0 else block[at : end + 1]
                yield line, False, text
                line_start, at, line = text.endswith(b"\n"), at + len(text), line + text.count(b"\n")
    if header is not None:
        yield line, True, header
