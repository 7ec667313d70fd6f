"""A server on this machine that speaks the few endpoints of the Hugging Face hub that the workflow asks."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Repositories {id: {file: content}}, all at one commit; `broken` files are not there."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories = {}
        self.broken = set()
        self.asked = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, content=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def do_GET(self):
        parts = self.path.split("?")[0].strip("/").split("/")
        api = parts[0] == "api"
        if len(parts) < 5:
            return self.answer(404)
        self.server.asked.append("/".join(parts))
        owner, name = parts[2:4] if api else parts[:2]
        revision = parts[5] if api else parts[3]
        files = self.server.repositories.get(f"{owner}/{name}")
        commit = {"X_Repo_Commit": COMMIT}
        if files is None:
            return self.answer(404, X_Error_Code="RepoNotFound")
        if files == "gated":
            return self.answer(403, X_Error_Code="GatedRepo")
        if revision not in (COMMIT, *(["main"] if api else [])):
            return self.answer(404, X_Error_Code="RevisionNotFound")
        if api and parts[4] == "revision":
            siblings = [{"rfilename": file} for file in files]
            info = {"id": f"{owner}/{name}", "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
            return self.answer(200, json.dumps(info).encode(), Content_Type="application/json")
        if api:
            tree = [{"type": "file", "path": f, "size": len(c), "oid": f"{hash(f):x}"} for f, c in files.items()]
            return self.answer(200, json.dumps(tree).encode(), Content_Type="application/json")
        file = "/".join(parts[4:])
        if file in self.server.broken:
            return self.answer(404, X_Error_Code="EntryNotFound")
        return self.answer(200, files[file], ETag=f'"{file}-1"', **commit)

    do_HEAD = do_GET
