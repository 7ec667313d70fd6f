"""Downloads over http, https and ftp that end in the complete, verified file or in one clear error.

Why not requests: it cannot resume a transfer, notice that the file has changed, or use FTP.
"""

import errno
import ftplib
import hashlib
import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from tqdm import tqdm

from dnalm.errors import UserError

_BLOCK = 1 << 20
_WORTH_A_RETRY = {408, 425, 429}
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG}
_BROKEN = (OSError, EOFError, http.client.HTTPException, ftplib.Error)


class _BrokenError(OSError):
    """A failed transfer that is worth a retry."""


class _Transfer(NamedTuple):
    """A server's answer: first byte, size of the whole file, its version (ETag or date), and the bytes."""

    offset: int
    total: int | None
    version: str | None
    blocks: Iterator[bytes]


def download(
    url: str,
    output: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    tries: int = 6,
    wait: float = 1.0,
    timeout: float = 60.0,
) -> None:
    """Fetch `url` to `output`, which appears only when the file is complete and its checksum, if given, is right.

    A transfer that breaks, or receives nothing for `timeout` seconds, is resumed; it starts again if the server cannot
    resume or the file has changed. It is also resumed after the program was killed: the bytes so far are kept in a
    hidden file beside `output`. It gives up after `tries` attempts in a row without a new byte, which are `wait`,
    2 `wait`, 4 `wait` ... seconds apart. Raises `UserError`: no attempt left; refused (404 and the like, at once);
    wrong checksum; a web page instead of a file.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f".{output.name}.part")
    note = output.with_name(f".{output.name}.part.json")
    most = failures = 0
    while True:
        try:
            _fetch(url, part, note, timeout)
            break
        except _BROKEN as error:
            reason = _final_reason(error)
            if reason is not None:
                raise UserError(f"{url}: {reason}") from error
            size = part.stat().st_size if part.exists() else 0
            most, failures = max(most, size), 1 if size > most else failures + 1
            if failures >= tries:
                raise UserError(
                    f"{url}: given up after {failures} tries ({_one_line(error)}); run again to resume"
                ) from error
            pause = wait * 2 ** (failures - 1)
            print(f"{url}: {_one_line(error)}; next try in {pause:g} s", file=sys.stderr)
            time.sleep(pause)
    for name, expected in (("sha256", sha256), ("md5", md5)):
        found = expected and _checksum(part, name)
        if expected and found != expected.strip().lower():
            part.unlink()
            note.unlink()
            raise UserError(f"{url}: wrong {name}: expected {expected.strip().lower()}, got {found}")
    with open(part, "rb") as stream:
        page = stream.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html"))
    if page:
        part.unlink()
        note.unlink()
        raise UserError(f"{url}: the server sent a web page, not a data file; use the address of the file itself")
    part.replace(output)
    note.unlink()


def _fetch(url: str, part: Path, note: Path, timeout: float) -> None:
    """One attempt to complete `part`; its bytes are kept if they are the start of the same version of the file."""
    version = _noted_version(url, note) if part.exists() else None
    offset = part.stat().st_size if version is not None else 0
    with (
        _opener(url)(url, offset, version, timeout) as transfer,
        open(part, "ab" if transfer.offset else "wb") as stream,
    ):
        # only now: opening the file above has removed the bytes of another version
        note.write_text(json.dumps({"url": url, "version": transfer.version}))
        name = urlsplit(url).path.rpartition("/")[2]
        size = transfer.offset
        with tqdm(total=transfer.total, initial=size, desc=name, unit="B", unit_scale=True, mininterval=1) as bar:
            for block in transfer.blocks:
                stream.write(block)
                size += len(block)
                bar.update(len(block))
    if transfer.total is not None and size != transfer.total:
        raise _BrokenError(f"the connection ended after {size:,} of {transfer.total:,} bytes")


def _noted_version(url: str, note: Path) -> str | None:
    with suppress(OSError, ValueError):
        noted = json.loads(note.read_text())
        return noted["version"] if noted["url"] == url else None
    return None


def _opener(url: str) -> Callable[[str, int, str | None, float], AbstractContextManager[_Transfer]]:
    scheme = urlsplit(url).scheme
    if scheme not in ("http", "https", "ftp"):
        raise UserError(f"{url}: only http, https and ftp addresses can be fetched")
    if not unquote(url).isprintable():  # a line break would start another FTP command
        raise UserError(f"{url}: not a valid address")
    return _ftp if scheme == "ftp" else _http


@contextmanager
def _http(url: str, offset: int, version: str | None, timeout: float) -> Iterator[_Transfer]:
    # with If-Range, a server whose file has changed sends the whole file
    headers = {"Range": f"bytes={offset}-", "If-Range": version} if offset and version else {}
    try:
        response = _request(url, headers, timeout)
    except urllib.error.HTTPError as error:
        if not headers or error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        response = _request(url, {}, timeout)
    with response:
        length = response.headers.get("Content-Length")
        found = _version(response.headers)
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            offset = 0
        elif found != version or not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            raise _BrokenError("the server sent another part than asked for")
        total = offset + int(length) if length is not None else None
        yield _Transfer(offset, total, found, iter(lambda: response.read(_BLOCK), b""))


def _request(url: str, headers: dict[str, str], timeout: float) -> http.client.HTTPResponse:
    headers = {"User-Agent": "dna-lm-finetuning", "Accept-Encoding": "identity", **headers}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (_HTTP opens http and https alone)
    response: http.client.HTTPResponse = _HTTP.open(request, timeout=timeout)
    return response


def _version(headers: http.client.HTTPMessage) -> str | None:
    """A validator for If-Range (RFC 9110, 13.1.5): a strong entity tag, otherwise the date of the last change."""
    tag: str | None = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _http_only() -> urllib.request.OpenerDirector:
    """An opener without urllib's handlers of file: and data: addresses, so that no redirect can lead to them."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor, urllib.request.UnknownHandler,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


_HTTP = _http_only()


@contextmanager
def _ftp(url: str, offset: int, version: str | None, timeout: float) -> Iterator[_Transfer]:
    address = urlsplit(url)
    path = unquote(address.path)
    with ftplib.FTP(timeout=timeout) as server:  # noqa: S321 (asked for; a checksum makes it safe)
        server.connect(address.hostname or "", address.port or ftplib.FTP_PORT)
        server.login(unquote(address.username or ""), unquote(address.password or ""))
        server.voidcmd("TYPE I")
        total = found = None
        with suppress(ftplib.error_perm):  # both commands are optional
            total = server.size(path)
            found = server.voidcmd(f"MDTM {path}")
        if found is None or found != version:
            offset = 0
        with server.transfercmd(f"RETR {path}", rest=offset or None) as connection:
            yield _Transfer(offset, total, found, iter(lambda: connection.recv(_BLOCK), b""))
        server.voidresp()


def _final_reason(error: BaseException) -> str | None:
    """Why a retry is useless, or None if it is not. An error of the local disk is raised again."""
    if isinstance(error, urllib.error.HTTPError):
        again = error.code >= 500 or error.code in _WORTH_A_RETRY
        return None if again else f"the server says {error.code} {_one_line(error.reason)}; check the address"
    if isinstance(error, ftplib.error_perm):
        return f"the server says {_one_line(error)}; check the address"
    if isinstance(error, http.client.InvalidURL):
        return "not a valid address"
    if isinstance(error, urllib.error.URLError):
        if isinstance(error.reason, SSLCertVerificationError):
            return f"the server's certificate is not trusted ({error.reason.verify_message})"
        if isinstance(error.reason, str):  # urllib's own words: no host, or a scheme it must not open
            return error.reason
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        raise error
    return None


def _one_line(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__


def _checksum(path: Path, algorithm: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()
