"""Servers on this machine, and what they serve: for runs that fetch everything."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def of_files(folder):
    """A server of the files in a folder."""
    return ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))


def serve(server):
    """Start a server; returns its address."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def stop(*servers):
    for server in servers:
        server.shutdown()
        server.server_close()


def contents(folder):
    """The files of a folder, as a hub's repository holds them."""
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def write_arrays(folder, between, dice):
    """g.fa, a chromosome with 80 tandem arrays so many bases apart, and c.bed, which names them."""
    genome, bed = "", []
    for _ in range(80):
        genome += "".join(dice.choices("ACGT", k=between))
        unit = "".join(dice.choices("ACGT", k=dice.randint(8, 20))) * 4
        bed.append(f"chr1\t{len(genome)}\t{len(genome) + len(unit)}\n")
        genome += unit
    (folder / "g.fa").write_text(f">chr1\n{genome}\n")
    (folder / "c.bed").write_text("".join(bed))
