"""Reading users' files and writing results: complete files or none, and one-line errors."""

import gzip
import hashlib
import json
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dnalm.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it on success and removed on failure.

    The temporary name is fixed, so that the next process overwrites what a killed one left. Two jobs of a workflow
    never write the same file.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: exists and is no regular file, so it cannot be replaced")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path | str) -> Iterator[Path]:
    """A temporary directory beside `path`, which takes its place on success and is removed on failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sha256(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as JSON with sorted keys: the same value gives the same bytes."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file; one that is not JSON is a `UserError`."""
    try:
        return json.loads(Path(path).read_text())
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from error


def write_table(path: Path | str, table: "pd.DataFrame") -> None:
    """Write a data frame as parquet, without its index: the same rows give the same bytes."""
    with atomic(path) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")


def write_tsv(path: Path | str, table: "pd.DataFrame", float_format: str | None = None) -> None:
    """Write a data frame as tab-separated text with a header line; missing values are `NA`."""
    with atomic(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, na_rep="NA", lineterminator="\n", float_format=float_format)


def read_table(path: Path | str, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read a parquet table. A file that is missing, is not parquet or lacks a column is a `UserError`."""
    import pandas as pd
    import pyarrow as pa

    if Path(path).is_dir():
        raise UserError(f"{path}: is a directory, a file was expected")
    try:
        return pd.read_parquet(path, columns=columns)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (pa.ArrowInvalid, pa.ArrowKeyError, KeyError) as error:
        raise UserError(f"{path}: cannot read this parquet table ({str(error).splitlines()[0]})") from error


def read_user_table(path: Path | str) -> "pd.DataFrame":
    """Read a user's table as text: `.csv`, `.tsv` or `.txt` (each also `.gz`), or `.parquet`.

    Every value of a text file stays a string, and an empty field is the empty string (so the sequence "NA" survives).
    """
    import pandas as pd

    path = Path(path)
    if path.suffix == ".parquet":
        return read_table(path)
    separator = _separator(path)
    with open_text(path) as stream:
        try:
            table = pd.read_csv(stream, sep=separator, dtype=str, keep_default_na=False)
        except pd.errors.EmptyDataError as error:
            raise UserError(f"{path}: the file is empty") from error
        except pd.errors.ParserError as error:
            raise UserError(f"{path}: not a valid table ({error})") from error
    return _plain(path, table)


def user_table_batches(path: Path | str, column: str, rows: int = 2**14) -> "Iterator[pd.DataFrame]":
    """Read a user's table as `read_user_table`, `rows` rows at a time; of parquet only `column`, if it has that."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if path.suffix == ".parquet":
        try:
            with pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as table:
                wanted = [column] if column in table.schema_arrow.names else None
                yield from (part.to_pandas() for part in table.iter_batches(rows, columns=wanted))
        except FileNotFoundError as error:
            raise UserError(f"{path}: no such file") from error
        except pa.ArrowInvalid as error:
            raise UserError(f"{path}: cannot read this parquet table ({str(error).splitlines()[0]})") from error
        return
    with open_text(path) as stream:
        try:
            parts = pd.read_csv(stream, sep=_separator(path), dtype=str, keep_default_na=False, chunksize=rows)
            yield from (_plain(path, part) for part in parts)
        except pd.errors.EmptyDataError as error:
            raise UserError(f"{path}: the file is empty") from error
        except pd.errors.ParserError as error:
            raise UserError(f"{path}: not a valid table ({error})") from error


def _separator(path: Path) -> str:
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    separator = {".csv": ",", ".tsv": "\t", ".txt": "\t"}.get(suffix.lower())
    if separator is None:
        raise UserError(f"{path}: unknown table format '{path.suffix}'; use .csv, .tsv, .txt (also .gz) or .parquet")
    return separator


def _plain(path: Path, table: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    if not isinstance(table.index, pd.RangeIndex):  # pandas takes surplus fields for row names
        raise UserError(
            f"{path}: the rows have more fields than the header has columns; correct the header or quote fields"
        )
    return table


@contextmanager
def open_bytes(path: Path | str) -> Iterator[IO[bytes]]:
    """Open a file for reading, decompressed if it is gzip or bgzip (recognised by content, not name).

    A missing file, or damage found while reading inside the `with` block, is a `UserError` that names the file.
    """
    path = Path(path)
    try:
        with open(path, "rb") as probe:
            packed = probe.read(2) == GZIP_MAGIC
        opener: Any = gzip.open if packed else open
        with opener(path, "rb") as stream:
            yield stream
    except FileNotFoundError as error:
        if error.filename not in (None, str(path), path):
            raise
        raise UserError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: is a directory, a file was expected") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: damaged or truncated gzip file ({error}); fetch it again") from error


@contextmanager
def open_text(path: Path | str) -> Iterator[IO[str]]:
    """Like `open_bytes`, as UTF-8 text (a byte-order mark is dropped)."""
    import io

    with open_bytes(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline=None)
        try:
            yield text
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not a text file (byte {error.start} is not UTF-8)") from error
