"""Downloads against real servers on loopback that do what real servers do on bad days."""

import hashlib
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from needed import require
from script_runs import run_script

from dnalm.data.downloads import download
from dnalm.errors import UserError

CONTENT = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(250_000)
FAST = {"wait": 0.01, "timeout": 0.5}


@dataclass
class Server:
    """What the server shall do with each request (the last one again and again), and what it was asked."""

    url: str = ""
    plan: list[str] = field(default_factory=lambda: ["serve"])
    content: bytes = CONTENT
    etag: str | None = '"one"'
    ranges: bool = True
    asked: list[dict[str, str]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    state: Server

    def do_GET(self) -> None:
        state = self.state
        number = len(state.asked)
        state.asked.append(dict(self.headers))
        action, _, value = state.plan[min(number, len(state.plan) - 1)].partition(" ")
        if action == "status":
            self.send_response(int(value))
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif action == "redirect":
            self.send_response(302)
            self.send_header("Location", value)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.serve(action, value)

    def serve(self, action: str, value: str) -> None:
        state = self.state
        start = 0
        wanted = self.headers.get("Range")
        if state.ranges and wanted and self.headers.get("If-Range") in (None, state.etag):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(state.content):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        body = state.content[start:]
        self.send_response(206 if start else 200)
        if start:
            shown = start + 7 if action == "misplace" else start
            self.send_header("Content-Range", f"bytes {shown}-{len(state.content) - 1}/{len(state.content)}")
        if state.etag:
            self.send_header("ETag", state.etag)
        if action == "chunk":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n" % len(body) + body[: int(value)])
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: int(value)] if value else body)
        if action == "stall":
            self.wfile.flush()
            time.sleep(1.5)
        self.close_connection = True

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    state = Server()
    handler = type("BoundHandler", (Handler,), {"state": state})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.daemon_threads = True
    http.block_on_close = False
    state.url = f"http://127.0.0.1:{http.server_port}/genome.fa.gz"
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield state
    http.shutdown()
    http.server_close()


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "all"


def assert_clean(output: Path, content: bytes = CONTENT) -> None:
    assert output.read_bytes() == content
    assert [path.name for path in output.parent.iterdir()] == ["all"]


def test_plain(server: Server, output: Path) -> None:
    checksums = {"sha256": hashlib.sha256(CONTENT).hexdigest().upper(), "md5": hashlib.md5(CONTENT).hexdigest()}
    download(server.url, output, **checksums, **FAST)
    assert_clean(output)
    assert len(server.asked) == 1
    assert "Range" not in server.asked[0]


def test_broken_transfer_goes_on_where_it_stopped(server: Server, output: Path) -> None:
    server.plan = ["truncate 100000", "truncate 50000", "serve"]
    download(server.url, output, **FAST)
    assert_clean(output)
    assert [asked.get("Range") for asked in server.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert server.asked[1]["If-Range"] == '"one"'


def test_progress_is_no_failed_try(server: Server, output: Path) -> None:
    server.plan = ["truncate 30000"]
    download(server.url, output, tries=2, **FAST)
    assert_clean(output)
    assert len(server.asked) == 10


def test_broken_chunks(server: Server, output: Path) -> None:
    server.plan = ["chunk 1000", "serve"]
    download(server.url, output, **FAST)
    assert_clean(output)


def test_stall(server: Server, output: Path) -> None:
    server.plan = ["stall 1000", "serve"]
    started = time.monotonic()
    download(server.url, output, **FAST)
    assert_clean(output)
    assert time.monotonic() - started < 1.4


def test_server_without_ranges_starts_again(server: Server, output: Path) -> None:
    server.ranges = False
    server.plan = ["truncate 1000", "serve"]
    download(server.url, output, **FAST)
    assert_clean(output)


def test_server_without_versions_starts_again(server: Server, output: Path) -> None:
    server.etag = None
    server.plan = ["truncate 1000", "serve"]
    download(server.url, output, **FAST)
    assert_clean(output)
    assert "Range" not in server.asked[1]


def test_wrong_part_is_not_appended(server: Server, output: Path) -> None:
    server.plan = ["truncate 1000", "misplace", "serve"]
    download(server.url, output, **FAST)
    assert_clean(output)


@pytest.mark.parametrize("etag", ['"two"', None, '"one"'])
def test_resumes_after_a_killed_run_unless_the_file_has_changed(server: Server, output: Path, etag: str | None) -> None:
    server.plan = ["truncate 120000", "status 503"]
    with pytest.raises(UserError, match="given up after 2 tries"):
        download(server.url, output, tries=2, **FAST)
    assert not output.exists()
    server.asked.clear()
    server.plan = ["serve"]
    server.etag = etag
    server.content = CONTENT if etag == '"one"' else OTHER
    download(server.url, output, **FAST)
    assert_clean(output, server.content)
    assert server.asked[0]["Range"] == "bytes=120000-"


def test_nothing_is_resumed_from_another_address(server: Server, output: Path) -> None:
    server.plan = ["truncate 1000", "status 503"]
    with pytest.raises(UserError):
        download(server.url, output, tries=1, **FAST)
    server.plan = ["serve"]
    server.asked.clear()
    download(server.url + "?v2", output, **FAST)
    assert_clean(output)
    assert "Range" not in server.asked[0]


def test_part_that_is_complete_already(server: Server, output: Path) -> None:
    output.parent.mkdir()
    (output.parent / ".all.part").write_bytes(CONTENT)
    (output.parent / ".all.part.json").write_text(json.dumps({"url": server.url, "version": '"one"'}))
    download(server.url, output, **FAST)
    assert_clean(output)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_passing_trouble_is_retried(server: Server, output: Path, status: int) -> None:
    server.plan = [f"status {status}", f"status {status}", "serve"]
    download(server.url, output, **FAST)
    assert_clean(output)


def test_lasting_trouble_ends(server: Server, output: Path) -> None:
    server.plan = ["status 500"]
    with pytest.raises(UserError, match=r"genome\.fa\.gz: given up after 3 tries"):
        download(server.url, output, tries=3, **FAST)
    assert len(server.asked) == 3
    assert not output.exists()


@pytest.mark.parametrize("status", [404, 403, 410])
def test_refusal_is_final(server: Server, output: Path, status: int) -> None:
    server.plan = [f"status {status}"]
    with pytest.raises(UserError, match=f"the server says {status}"):
        download(server.url, output, **FAST)
    assert len(server.asked) == 1
    assert not list(output.parent.iterdir())


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_wrong_checksum(server: Server, output: Path, algorithm: str) -> None:
    right = hashlib.new(algorithm, CONTENT).hexdigest()
    with pytest.raises(UserError, match=f"genome.fa.gz: wrong {algorithm}: expected abc, got {right}"):
        download(server.url, output, **{algorithm: "abc"}, **FAST)
    assert len(server.asked) == 1
    assert not list(output.parent.iterdir())


def test_a_web_page_is_no_data(server: Server, output: Path) -> None:
    server.content = b"\n<!DOCTYPE html>\n<html><body>Please log in</body></html>"
    with pytest.raises(UserError, match=r"genome\.fa\.gz: the server sent a web page, not a data file"):
        download(server.url, output, **FAST)
    assert len(server.asked) == 1
    assert not list(output.parent.iterdir())


def test_redirect_is_followed(server: Server, output: Path) -> None:
    server.plan = ["redirect /elsewhere.fa.gz", "serve"]
    download(server.url, output, **FAST)
    assert_clean(output)


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "data:text/plain,hello", "ftp://127.0.0.1:1/x", "gopher://x/"]
)
def test_redirect_out_of_http_is_refused(server: Server, output: Path, target: str) -> None:
    server.plan = [f"redirect {target}"]
    with pytest.raises(UserError, match=r"not allowed|unknown url type") as caught:
        download(server.url, output, **FAST)
    assert len(server.asked) == 1
    assert "\n" not in str(caught.value)
    assert not list(output.parent.iterdir())


@pytest.mark.parametrize("url", ["file:///etc/passwd", "data:text/plain,x", "/etc/passwd"])
def test_only_network_addresses(output: Path, url: str) -> None:
    with pytest.raises(UserError, match="only http, https and ftp"):
        download(url, output, **FAST)


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1:1/a%0d%0aDELE b", "ftp://a%0ab@127.0.0.1:1/x", "http://127.0.0.1:1/\n"]
)
def test_an_address_holds_no_commands(output: Path, url: str) -> None:
    with pytest.raises(UserError, match="not a valid address"):
        download(url, output, **FAST)
    assert not output.exists()


def test_nobody_listens(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(UserError, match="given up after 2 tries"):
        download(f"http://127.0.0.1:{port}/x", output, tries=2, **FAST)


def test_full_disk_is_not_retried(server: Server, output: Path) -> None:
    require("/dev/full")
    full = Path("/dev/full")
    output.parent.mkdir()
    (output.parent / ".all.part").symlink_to(full)
    with pytest.raises(OSError, match="No space left"):
        download(server.url, output, **FAST)
    assert len(server.asked) == 1
    assert not output.exists()


def test_script(server: Server, output: Path) -> None:
    server.plan = ["status 404"]
    spec = {"url": server.url, "sha256": None, "md5": None}
    done = run_script("download.py", "--output", output, spec=spec)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {server.url}: the server says 404 Not Found; check the address"
    assert "Traceback" not in done.stderr
    server.plan = ["serve"]
    assert run_script("download.py", "--output", output, spec=spec).returncode == 0
    assert_clean(output)


class FtpServer(threading.Thread):
    """As much of an FTP server (RFC 959, 3659) as a client that fetches one file needs."""

    def __init__(self, cuts: list[int | None]) -> None:
        super().__init__(daemon=True)
        self.cuts = cuts
        self.offsets: list[int] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ftp://127.0.0.1:{self.listener.getsockname()[1]}/pub/genome.fa.gz"

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rw", encoding="latin-1", newline="\r\n") as stream:
                self.talk(stream)

    def talk(self, stream) -> None:
        def say(text: str) -> None:
            stream.write(text + "\n")
            stream.flush()

        offset = 0
        data = socket.create_server(("127.0.0.1", 0))
        say("220 ready")
        for line in stream:
            command, _, argument = line.strip().partition(" ")
            if command in ("SIZE", "MDTM", "RETR") and argument != "/pub/genome.fa.gz":
                say("550 no such file")
            elif command == "RETR":
                self.offsets.append(offset)
                say("150 here it comes")
                cut = self.cuts.pop(0)
                with data.accept()[0] as sink:
                    sink.sendall(CONTENT[offset:][:cut])
                if cut is not None:
                    say("426 transfer aborted")
                else:
                    say("226 done")
            else:
                answers = {"USER": "230 in", "TYPE": "200 ok", "SIZE": f"213 {len(CONTENT)}", "MDTM": "213 20260101"}
                if command == "REST":
                    offset = int(argument)
                if command == "PASV":
                    port = data.getsockname()[1]
                    answers["PASV"] = f"227 (127,0,0,1,{port // 256},{port % 256})"
                say(answers.get(command, "350 go on" if command == "REST" else "221 bye"))


@pytest.fixture
def ftp() -> Iterator[FtpServer]:
    server = FtpServer([1000, None])
    server.start()
    yield server
    server.listener.close()


def test_ftp_goes_on_where_it_stopped(ftp: FtpServer, output: Path) -> None:
    download(ftp.url, output, sha256=hashlib.sha256(CONTENT).hexdigest(), **FAST)
    assert_clean(output)
    assert ftp.offsets == [0, 1000]


def test_ftp_refusal_is_final(ftp: FtpServer, output: Path) -> None:
    with pytest.raises(UserError, match="the server says 550 no such file"):
        download(ftp.url + "x", output, **FAST)
    assert not list(output.parent.iterdir())
