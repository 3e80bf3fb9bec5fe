"""A stand-in for the Hub on loopback, in memory, for tests of uploads and downloads with the real clients.

It speaks what ``huggingface_hub`` (0.x to 2.x), its command lines and ``datasets`` ask for about
dataset repositories, except Xet: the clients have ``HF_HUB_DISABLE_XET=1`` and ``HF_ENDPOINT``::

    with Hub(tokens={"hf_writer": "write"}) as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_writer"}
        hub.fail("upload", 500, times=2)
        ...
        assert hub.count("upload") == 3
"""

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import json
import re
import secrets
import threading
import urllib.parse

_TIME = "2024-01-01T00:00:00.000Z"
_REPO = r"(?P<repo>[^/]+/[^/]+)"
_REVISION = r"(?P<revision>[^/?]+)"
_ROUTES = (  # (name, method, path); the first that fits is taken
    ("whoami", "GET", "/api/whoami-v2"),
    ("validate", "POST", "/api/validate-yaml"),
    ("create", "POST", "/api/repos/create"),
    ("settings", "PUT", f"/api/datasets/{_REPO}/settings"),
    ("preupload", "POST", f"/api/datasets/{_REPO}/preupload/{_REVISION}"),
    ("commit", "POST", f"/api/datasets/{_REPO}/commit/{_REVISION}"),
    ("tree", "GET", rf"/api/datasets/{_REPO}/tree/{_REVISION}(?:/(?P<path>.*))?"),
    ("paths-info", "POST", f"/api/datasets/{_REPO}/paths-info/{_REVISION}"),
    ("refs", "GET", f"/api/datasets/{_REPO}/refs"),
    ("info", "GET", rf"/api/datasets/{_REPO}(?:/revision/{_REVISION})?"),
    ("batch", "POST", rf"/datasets/{_REPO}\.git/info/lfs/objects/batch"),
    ("upload", "PUT", rf"/storage/{_REPO}/(?P<oid>[0-9a-f]{{64}})"),
    ("verify", "POST", rf"/storage/{_REPO}/(?P<oid>[0-9a-f]{{64}})/verify"),
    ("resolve", "GET", f"/datasets/{_REPO}/resolve/{_REVISION}/(?P<path>.+)"),
    ("resolve", "HEAD", f"/datasets/{_REPO}/resolve/{_REVISION}/(?P<path>.+)"),
)
_OPEN = ("validate", "upload", "verify")  # need no token: the addresses of the storage are secret
_WRITING = ("create", "settings", "preupload", "commit", "batch")


@dataclasses.dataclass
class File:
    """A file of a revision."""

    content: bytes
    is_lfs: bool

    @property
    def oid(self):
        """As on the Hub: the SHA-256 of an LFS file, the hash of the git blob of any other."""
        return hashlib.sha256(self.content).hexdigest() if self.is_lfs else _git_hash(self.content)

    def entry(self, path):
        """As in a listing."""
        entry = {"type": "file", "path": path, "size": len(self.content), "oid": _git_hash(self.content)}
        if self.is_lfs:
            entry["lfs"] = {"oid": self.oid, "size": len(self.content), "pointerSize": 134}
        return entry


class Repo:
    """A dataset repository: revisions, ``list[tuple[str, dict[str, File]]]``, and LFS objects, ``dict[str, bytes]``."""

    def __init__(self, private):
        self.private = private
        self.objects = {}
        self.revisions = []
        self.commit({".gitattributes": File(b"*.parquet filter=lfs diff=lfs merge=lfs -text\n", is_lfs=False)})

    @property
    def files(self):
        """The files of the newest revision."""
        return self.revisions[-1][1]

    def commit(self, files):
        """Add a revision and return its id."""
        self.revisions.append((secrets.token_hex(20), files))
        return self.revisions[-1][0]

    def revision(self, name):
        """(id, files) of a revision, or ``None``."""
        if name in ("main", "refs/heads/main"):
            return self.revisions[-1]
        return next((revision for revision in self.revisions if revision[0] == name), None)


@dataclasses.dataclass
class Request:
    """A request that was answered: its route, see ``_ROUTES``, the bytes of its body, and the status."""

    route: str
    path: str
    received: int
    status: int = 0  # 0: the connection was dropped


class Hub:
    """The server, running inside ``with``.

    Args:
        tokens: token -> ``"read"`` or ``"write"``.

    Attributes:
        repos: ``dict[str, Repo]``, by id.
        requests: ``list[Request]``, in the order of their arrival.
        url: what ``HF_ENDPOINT`` must be.
    """

    def __init__(self, tokens):
        self.tokens = dict(tokens)
        self.repos, self.requests, self._failures = {}, [], []
        self._lock = threading.Lock()
        self.held = threading.Event()  # set once requests are held no longer
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()

    def fail(self, route, how, times=1):
        """Let the next requests of a route fail.

        Args:
            route: a name in ``_ROUTES``.
            how: a status to answer with, doing nothing (429 has the header ``Retry-After``); ``"drop"`` to
                close the connection half way through the body; ``"hold"`` to take nothing of the body until
                ``recover``; ``"lose"`` to do what is asked and then close
                the connection instead of answering; of a commit, ``"forget"`` to answer as if it were done,
                and ``"spoil"`` to cut its LFS files short; of a creation, ``"public"``, whatever is asked;
                ``None`` to let the request pass.
            times: how many requests.
        """
        self._failures += [(route, how)] * times

    def recover(self):
        """Clear the planned failures and the log of requests."""
        self._failures.clear()
        self.requests.clear()
        self.held.set()
        self.held = threading.Event()

    def count(self, route):
        """The number of requests of a route that were answered or dropped."""
        return sum(request.route == route for request in self.requests)

    def received(self, route):
        """The total size in bytes of the bodies of requests of a route."""
        return sum(request.received for request in self.requests if request.route == route)

    def next_failure(self, route):
        """Take the next planned failure for a request of this route, or ``None``."""
        with self._lock:
            for k, (of, how) in enumerate(self._failures):
                if of == route:
                    del self._failures[k]
                    return how
        return None


class _Refused(Exception):
    """An answer other than 200, args: status, message, code of the Hub."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Say nothing: ``Hub.requests`` is the log."""

    def _handle(self):
        hub = self.server.hub
        path, _, query = self.path.partition("?")
        self.query = urllib.parse.parse_qs(query)
        route, match = next(
            (
                (name, match)
                for name, method, pattern in _ROUTES
                if method == self.command and (match := re.fullmatch(pattern, path))
            ),
            ("unknown", None),
        )
        request = Request(route, path, 0)
        hub.requests.append(request)
        how = self.how = hub.next_failure(route)
        if how == "drop":
            half = int(self.headers.get("Content-Length", 0)) // 2
            request.received = len(self.rfile.read(half))
            self.close_connection = True
            return
        if how == "hold":
            hub.held.wait()
        self.body = self._read_body()
        request.received = len(self.body)
        try:
            if isinstance(how, int):
                raise _Refused(how, "the stand-in was message to fail", None)
            if match is None:
                raise _Refused(404, f"the stand-in knows no {self.command} {path}", "EntryNotFound")
            arguments = {name: urllib.parse.unquote(value) for name, value in match.groupdict().items() if value}
            self._authorize(route, arguments.get("repo"))
            status, headers, content = getattr(self, "_" + route.replace("-", "_"))(**arguments)
        except _Refused as refused:
            status, message, code = refused.args
            headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
            if status == 429:
                headers["Retry-After"] = "0"
            content = json.dumps({"error": message}).encode()
        if how == "lose":
            self.close_connection = True
            return
        request.status = status
        self._answer(status, headers, content)

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _read_body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _answer(self, status, headers, content):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(ConnectionError):  # the client has seen enough
                self.wfile.write(content)

    def _authorize(self, route, repo_id):
        hub = self.server.hub
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if route in _OPEN:
            return
        if token and token not in hub.tokens:
            raise _Refused(401, "Invalid credentials in Authorization header", None)
        if not token and (route in ("whoami", *_WRITING) or repo_id not in hub.repos or hub.repos[repo_id].private):
            raise _Refused(401, "Invalid username or password.", None)
        if repo_id is not None and repo_id not in hub.repos:
            raise _Refused(404, "Repository not found", "RepoNotFound")
        if route in _WRITING and hub.tokens[token] != "write":
            raise _Refused(403, "you must use a write token", None)

    def _revision(self, repo, revision):
        found = self.server.hub.repos[repo].revision(revision)
        if found is None:
            raise _Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found

    # Each route: (status, headers, content).

    def _whoami(self):
        return _json({"type": "user", "name": "someone", "fullname": "Someone", "orgs": [{"name": "team"}]})

    def _validate(self):
        return _json({"errors": [], "warnings": []})

    def _create(self):
        asked = json.loads(self.body)
        repo = f"{asked.get('organization') or 'someone'}/{asked['name']}"
        url = {"url": f"{self.server.hub.url}/datasets/{repo}", "name": repo, "id": repo}
        if repo in self.server.hub.repos:
            return _json(url, status=409)
        private = self.how != "public" and (asked.get("private") or asked.get("visibility") == "private")
        self.server.hub.repos[repo] = Repo(bool(private))
        return _json(url)

    def _settings(self, repo):
        asked = json.loads(self.body)
        self.server.hub.repos[repo].private = asked.get("private", asked.get("visibility") == "private")
        return _json({})

    def _info(self, repo, revision="main"):
        oid, files = self._revision(repo, revision)
        return _json(
            {
                "id": repo,
                "author": repo.partition("/")[0],
                "sha": oid,
                "private": self.server.hub.repos[repo].private,
                "gated": False,
                "disabled": False,
                "lastModified": _TIME,
                "createdAt": _TIME,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "siblings": [{"rfilename": path} for path in sorted(files)],
            }
        )

    def _refs(self, repo):
        oid, _ = self._revision(repo, "main")
        branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": oid}
        return _json({"branches": [branch], "tags": [], "converts": []})

    def _preupload(self, repo, revision):
        _, files = self._revision(repo, revision)
        return _json(
            {
                "files": [
                    {
                        "path": asked["path"],
                        "uploadMode": "lfs" if asked["path"].endswith(".parquet") else "regular",
                        "shouldIgnore": False,
                        "oid": files[asked["path"]].oid if asked["path"] in files else None,
                    }
                    for asked in json.loads(self.body)["files"]
                ]
            }
        )

    def _batch(self, repo):
        objects = json.loads(self.body)["objects"]
        for asked in objects:
            if asked["oid"] not in self.server.hub.repos[repo].objects:
                address = f"{self.server.hub.url}/storage/{repo}/{asked['oid']}"
                asked["actions"] = {"upload": {"href": address}, "verify": {"href": f"{address}/verify"}}
        return _json({"transfer": "basic", "objects": objects})

    def _upload(self, repo, oid):
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise _Refused(400, "BadDigest", None)
        self.server.hub.repos[repo].objects[oid] = self.body
        return 200, {"ETag": f'"{oid}"'}, b""

    def _verify(self, repo, oid):
        if len(self.server.hub.repos[repo].objects.get(oid, b"")) != json.loads(self.body)["size"]:
            raise _Refused(404, "no such object, or of another size", "EntryNotFound")
        return _json({})

    def _commit(self, repo, revision):
        oid, files = self._revision(repo, revision)
        files = dict(files)
        for line in self.body.splitlines():
            key, value = (item := json.loads(line))["key"], item["value"]
            if key == "header" and value.get("parentCommit", oid) != oid:
                raise _Refused(412, "A commit has happened since. Please refresh and try again.", None)
            if key == "file":
                files[value["path"]] = File(base64.b64decode(value["content"]), is_lfs=False)
            elif key == "lfsFile":
                if value["oid"] not in self.server.hub.repos[repo].objects:
                    raise _Refused(400, f"LFS pointer pointed to a file that does not exist: {value['path']}", None)
                content = self.server.hub.repos[repo].objects[value["oid"]]
                files[value["path"]] = File(content[:-1] if self.how == "spoil" else content, is_lfs=True)
            elif key == "deletedFile" and files.pop(value["path"], None) is None:
                raise _Refused(404, "A file with this name doesn't exist", "EntryNotFound")
        oid = secrets.token_hex(20) if self.how == "forget" else self.server.hub.repos[repo].commit(files)
        address = f"{self.server.hub.url}/datasets/{repo}/commit/{oid}"
        return _json({"success": True, "commitOid": oid, "commitUrl": address, "hookOutput": ""})

    def _tree(self, repo, revision, path=""):
        _, files = self._revision(repo, revision)
        folder = f"{path.rstrip('/')}/" if path else ""
        inside = {name: file for name, file in files.items() if name.startswith(folder)}
        if not inside:
            raise _Refused(404, f"{path} does not exist on {revision}", "EntryNotFound")
        entries = [file.entry(name) for name, file in inside.items()] + [_folder(name) for name in _folders(inside)]
        if self.query.get("recursive", ["false"])[0].lower() not in ("true", "1"):
            entries = [entry for entry in entries if "/" not in entry["path"][len(folder) :]]
        entries = [entry for entry in entries if entry["path"] != path]
        return _json(sorted(entries, key=lambda entry: entry["path"]))

    def _paths_info(self, repo, revision):
        _, files = self._revision(repo, revision)
        is_json = "json" in self.headers.get("Content-Type", "")
        asked = json.loads(self.body) if is_json else urllib.parse.parse_qs(self.body.decode())
        folders = _folders(files)
        found = [name for name in asked["paths"] if name in files or name in folders]
        return _json([files[name].entry(name) if name in files else _folder(name) for name in found])

    def _resolve(self, repo, revision, path):
        oid, files = self._revision(repo, revision)
        if path not in files:
            raise _Refused(404, "Entry not found", "EntryNotFound")
        content, etag = files[path].content, f'"{files[path].oid}"'
        headers = {
            "ETag": etag,
            "X-Repo-Commit": oid,
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        if files[path].is_lfs:
            headers |= {"X-Linked-Size": str(len(content)), "X-Linked-ETag": etag}
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            return 200, headers, content
        first, last = asked.groups()
        start = int(first) if first else len(content) - int(last)
        end = int(last) + 1 if first and last else len(content)
        piece = content[start:end]
        if not piece:
            raise _Refused(416, "Range Not Satisfiable", None)
        headers["Content-Range"] = f"bytes {start}-{start + len(piece) - 1}/{len(content)}"
        return 206, headers, piece


def _json(value, status=200):
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _folders(files):
    parents = {name.rsplit("/", depth)[0] for name in files for depth in range(1, name.count("/") + 1)}
    return sorted(parents)


def _folder(name):
    return {"type": "directory", "path": name, "size": 0, "oid": _git_hash(name.encode())}
