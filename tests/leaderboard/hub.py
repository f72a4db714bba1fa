"""A local stand-in for the Hugging Face Hub: as much of it as `push_to_hub` of a dataset asks for.

Repositories are created; Parquet goes by Git LFS in one piece, other files inside the commit, and
all can be read back. The Hub's newer storage (Xet) is not here: clients are told to leave it.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote

OID = "0" * 39 + "1"


@dataclass
class Hub:
    """What the stand-in holds, by repository; `asked` keeps every request."""

    token: str
    url: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_request(self, code: object = None, size: object = None) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer(self._read)

    def do_HEAD(self) -> None:
        self._answer(self._read)

    def do_POST(self) -> None:
        self._answer(self._write)

    def do_PUT(self) -> None:
        """A large file, to the place that it was given."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.hub.large[self.path.rpartition("/")[2]] = body
        self._send(200, {})

    def _answer(self, work: Any) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(self.path.partition("?")[0])
        self.hub.asked.append(f"{self.command} {path}")
        if self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return self._send(401, {"error": "Invalid username or password."})
        work(path, body)
        return None

    def _read(self, path: str, body: bytes) -> None:
        name, _, rest = path.removeprefix("/api/datasets/").partition("/tree/")
        if path.startswith("/datasets/"):
            name, _, file = path.removeprefix("/datasets/").partition("/resolve/")
            data = self.hub.repositories.get(name, {}).get(file.partition("/")[2])
            return self._missing("EntryNotFound") if data is None else self._file(data)
        name = name.partition("/revision/")[0]
        if name not in self.hub.repositories:
            return self._missing("RepoNotFound")
        files = self.hub.repositories[name]
        if rest:
            entries = _tree(files, rest.partition("/")[2])
            return self._send(200, entries) if entries else self._missing("EntryNotFound")
        siblings = [{"rfilename": each} for each in files]
        return self._send(200, {"id": name, "sha": OID, "siblings": siblings})

    def _write(self, path: str, body: bytes) -> None:
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            self.hub.repositories.setdefault(name, {".gitattributes": b""})
            return self._send(200, {"url": f"{self.hub.url}/datasets/{name}"})
        if path == "/api/validate-yaml":
            return self._send(200, {"errors": [], "warnings": []})
        name, _, action = path.removeprefix("/api/datasets/").partition("/preupload/")
        if action:
            paths = [each["path"] for each in json.loads(body)["files"]]
            modes = ["lfs" if path.endswith(".parquet") else "regular" for path in paths]
            told = [
                {"path": path, "uploadMode": mode, "shouldIgnore": False}
                for path, mode in zip(paths, modes, strict=True)
            ]
            return self._send(200, {"files": told})
        if path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**each, "actions": {"upload": {"href": f"{self.hub.url}/large/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            return self._send(200, {"transfer": "basic", "objects": objects})
        name, _, action = path.removeprefix("/api/datasets/").partition("/commit/")
        if action:
            for line in map(json.loads, body.splitlines()):
                held, files = line["value"], self.hub.repositories[name]
                if line["key"] == "file":
                    files[held["path"]] = b64decode(held["content"])
                elif line["key"] == "lfsFile":
                    files[held["path"]] = self.hub.large[held["oid"]]
            url = f"{self.hub.url}/datasets/{name}/commit/{OID}"
            return self._send(200, {"success": True, "commitOid": OID, "commitUrl": url})
        return self._missing("EntryNotFound")

    def _missing(self, code: str) -> None:
        self._send(404, {"error": "not found"}, {"X-Error-Code": code})

    def _file(self, data: bytes) -> None:
        headers = {"ETag": f'"{sha1(data).hexdigest()}"', "X-Repo-Commit": OID}
        self._send(200, data, headers)

    def _send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _tree(files: dict[str, bytes], folder: str) -> list[dict[str, Any]]:
    """All that lies under a folder, folders included; nothing where there is no such folder."""
    under = f"{folder}/" if folder else ""
    inside = {path: data for path, data in files.items() if path.startswith(under)}
    folders = {path.rpartition("/")[0] for path in inside} - {"", folder}
    found = [{"type": "directory", "path": path, "oid": OID} for path in sorted(folders)]
    return found + [
        {"type": "file", "path": path, "size": len(data), "oid": sha1(data).hexdigest()}
        for path, data in inside.items()
    ]


@contextmanager
def serving(token: str = "hf_local") -> Iterator[Hub]:
    """A stand-in on a free port, until the block ends."""
    hub = Hub(token)
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
