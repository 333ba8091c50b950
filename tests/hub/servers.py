"""A local server that speaks the download protocols of Hugging Face and ModelScope, and can be made to fail.

Both serve repositories of models and of data sets. Hugging Face: repository info with file hashes, tree listing, HEAD
and GET of files, where large ("LFS") files are a redirect to storage on another host name, which honours Range.
ModelScope: file listing with SHA-256, file content with Range. Errors come with the headers and bodies that the clients
look for.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlparse

CONVERTED = "refs/convert/parquet"
COMMIT = "c0ffee" * 6 + "c0ff"


@dataclass
class Repository:
    """What is served, and how it fails.

    kind: models or datasets. converted: files of the branch with Hugging Face's own conversion of a data set. cut:
    file → bytes after which the connection breaks, once. garbled: file → how many times it is served with a changed
    byte. gated: asks for a licence to be accepted. log: (method, path, Range) of every request.
    """

    id: str
    files: dict[str, bytes]
    kind: str = "models"
    converted: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    garbled: dict[str, int] = field(default_factory=dict)
    gated: bool = False
    log: list[tuple[str, str, str | None]] = field(default_factory=list)

    @classmethod
    def of(cls, id: str, folder: Path) -> Repository:
        return cls(id, {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})

    @property
    def all(self) -> dict[str, bytes]:
        """The files of every branch."""
        return self.files | self.converted

    def content(self, name: str) -> bytes:
        """The bytes of a file, wrong in one place as long as it is to be garbled."""
        data = self.all[name]
        if self.garbled.get(name, 0) > 0:
            self.garbled[name] -= 1
            return data[:-1] + bytes([data[-1] ^ 1])
        return data


def is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".parquet"))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def serving(repository: Repository) -> Iterator[str]:
    """Serve a repository by both protocols; yields the address of the server."""
    handler = type("Handler", (_Handler,), {"repository": repository})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    repository: Repository
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlparse(self.path)
        repository = self.repository
        repository.log.append((self.command, url.path, self.headers.get("Range")))
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        for pattern, answer in _ROUTES:
            match = re.fullmatch(pattern, url.path)
            if match:
                if match["id"] == repository.id and (match["kind"] or "models").strip("/") == repository.kind:
                    answer(self, match, query)
                else:
                    self._missing()
                return
        self._json({"error": "no such page"}, 404)

    # Hugging Face

    def hf_info(self, match: re.Match[str], query: dict[str, str]) -> None:
        if self.repository.gated:
            self._json({"error": "gated"}, 403, {"X-Error-Code": "GatedRepo"})
            return
        revision = unquote(match["revision"] or "main")
        files = self.repository.converted if revision == CONVERTED else self.repository.files
        if revision not in ("main", COMMIT, CONVERTED) or (revision == CONVERTED and not files):
            self._json({"error": "no revision"}, 404, {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = []
        for name, data in files.items():
            entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": git_hash(data)}
            if is_large(name):
                entry["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
            siblings.append(entry)
        self._json({"id": self.repository.id, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []})

    def hf_tree(self, match: re.Match[str], query: dict[str, str]) -> None:
        tree = []
        for name, data in self.repository.files.items():
            entry: dict[str, object] = {
                "type": "file",
                "path": name,
                "size": len(data),
                "oid": git_hash(data),
            }
            if is_large(name):
                entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 134}
            tree.append(entry)
        self._json(tree)

    def hf_file(self, match: re.Match[str], query: dict[str, str]) -> None:
        name = unquote(match["file"])
        if name not in self.repository.all:
            self._json({"error": "no entry"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        data = self.repository.all[name]
        headers = {"X-Repo-Commit": COMMIT}
        if not is_large(name):
            self._bytes(name, headers | {"ETag": f'"{git_hash(data)}"'})
            return
        headers |= {"X-Linked-Size": str(len(data)), "X-Linked-Etag": f'"{sha256(data)}"'}
        headers |= {
            "Location": f"http://localhost:{self.server.server_address[1]}/storage/{self.repository.kind}/{self.repository.id}/{name}"
        }
        self._send(302, b"", headers)

    def hf_storage(self, match: re.Match[str], query: dict[str, str]) -> None:
        name = unquote(match["file"])
        self._bytes(name, {"ETag": f'"{sha256(self.repository.all[name])}"'})

    # ModelScope

    def ms_list(self, match: re.Match[str], query: dict[str, str]) -> None:
        if query.get("Revision", "master") != "master":
            self._missing()
            return
        files = [
            {
                "Path": name,
                "Name": name,
                "Type": "blob",
                "Size": len(data),
                "Sha256": sha256(data),
                "Revision": COMMIT,
            }
            for name, data in self.repository.files.items()
        ]
        folders = {name.rpartition("/")[0] for name in self.repository.files} - {""}
        files += [{"Path": name, "Name": name, "Type": "tree", "Size": 0, "Sha256": ""} for name in folders]
        self._json({"Code": 200, "Success": True, "Message": "", "Data": {"Files": files}})

    def ms_file(self, match: re.Match[str], query: dict[str, str]) -> None:
        self._bytes(query["FilePath"], {})

    # What both share

    def _missing(self) -> None:
        body = {"Code": 10010205001, "Success": False, "Message": "not found", "error": "not found"}
        self._json(body, 404, {"X-Error-Code": "RepoNotFound"})

    def _json(self, document: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(document).encode(), {"Content-Type": "application/json"} | (headers or {}))

    def _bytes(self, name: str, headers: dict[str, str]) -> None:
        """A file, or the rest of it if a Range is asked for; broken off where the repository says so."""
        data = self.repository.all[name] if self.command == "HEAD" else self.repository.content(name)
        first = re.fullmatch(r"bytes=(\d+)-.*", self.headers.get("Range") or "")
        status, start = (206, int(first[1])) if first else (200, 0)
        if first:
            headers |= {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        cut = self.repository.cut.pop(name, None) if self.command == "GET" else None
        self._send(status, data[start:], headers | {"Accept-Ranges": "bytes"}, cut)

    def _send(self, status: int, body: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the requests are in the repository's log."""


_ID = r"(?P<id>[\w.-]+/[\w.-]+)"
_KIND = r"(?P<kind>models|datasets)"
_ROUTES = [
    (rf"/api/{_KIND}/{_ID}(/revision/(?P<revision>[^/]+))?", _Handler.hf_info),
    (rf"/api/{_KIND}/{_ID}/tree/(?P<revision>[^/]+)", _Handler.hf_tree),
    (rf"/(?P<kind>datasets/)?{_ID}/resolve/(?P<revision>[^/]+)/(?P<file>.+)", _Handler.hf_file),
    (rf"/storage/{_KIND}/{_ID}/(?P<file>.+)", _Handler.hf_storage),
    (rf"/api/v1/(?P<kind>models)/{_ID}/repo/files", _Handler.ms_list),
    (rf"/api/v1/(?P<kind>datasets)/{_ID}/repo/tree", _Handler.ms_list),
    (rf"/api/v1/{_KIND}/{_ID}/repo", _Handler.ms_file),
]
