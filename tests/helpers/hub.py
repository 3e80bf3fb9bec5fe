"""A stand-in for the Hub on loopback, in memory: what ``huggingface_hub`` 0.23 to 2.x asks about dataset repositories.

Clients have ``HF_ENDPOINT=hub.url``, ``HF_HUB_DISABLE_XET=1`` and ``HF_TOKEN``.
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

_AT = r"/api/datasets/(?P<repo>[^/]+/[^/]+)"
_ROUTES = {  # name -> method and path
    "whoami": "GET /api/whoami-v2",
    "validate": "POST /api/validate-yaml",
    "create": "POST /api/repos/create",
    "preupload": f"POST {_AT}/preupload/main",
    "commit": f"POST {_AT}/commit/main",
    "tree": rf"GET {_AT}/tree/(?P<revision>[^/]+)(/(?P<path>.*))?",
    "paths_info": f"POST {_AT}/paths-info/(?P<revision>[^/]+)",
    "info": rf"GET {_AT}(/revision/(?P<revision>[^/]+))?",
    "batch": r"POST /datasets/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch",
    "upload": r"PUT /storage/(?P<repo>[^/]+/[^/]+)/(?P<oid>[0-9a-f]{64})",
    "resolve": "(GET|HEAD) /datasets/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)",
}


@dataclasses.dataclass
class File:
    content: bytes
    is_lfs: bool

    @property
    def oid(self):
        """The SHA-256 of an LFS file, the hash of the git blob of any other."""
        header = b"" if self.is_lfs else b"blob %d\0" % len(self.content)
        return (hashlib.sha256 if self.is_lfs else hashlib.sha1)(header + self.content).hexdigest()

    def entry(self, path):
        entry = {"type": "file", "path": path, "size": len(self.content), "oid": File(self.content, False).oid}
        lfs = {"oid": self.oid, "size": len(self.content), "pointerSize": 134}
        return entry | ({"lfs": lfs} if self.is_lfs else {})


class Repo:
    """A dataset repository: revisions, ``list[tuple[str, dict[str, File]]]``, and LFS objects, ``dict[str, bytes]``."""

    def __init__(self, private):
        self.private, self.objects, self.revisions = private, {}, []
        self.commit({".gitattributes": File(b"*.parquet filter=lfs diff=lfs merge=lfs -text\n", is_lfs=False)})

    @property
    def files(self):
        return self.revisions[-1][1]

    def commit(self, files):
        self.revisions.append((secrets.token_hex(20), files))
        return self.revisions[-1][0]


class Hub:
    """The server, running inside ``with``: ``repos`` by id, and the routes of ``requests`` in order of their arrival.

    ``tokens``: token -> ``"read"`` or ``"write"``.
    """

    def __init__(self, tokens):
        self.tokens, self.repos, self.requests, self.failures = dict(tokens), {}, [], []
        self.lock, self.released = threading.Lock(), threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True).start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()

    def fail(self, route, how, times=1):
        """Let the next requests of a route fail.

        ``how`` is a status to answer with; ``"drop"`` to close the connection half way through the body; ``"hold"`` to
        read no body until ``recover``; ``"lose"`` to do what is asked, but not answer; ``"public"`` to ignore that a
        repository should be private; ``None`` to let the request pass.
        """
        self.failures += [(route, how)] * times

    def recover(self):
        """Clear the planned failures and the log of requests."""
        self.failures.clear()
        self.requests.clear()
        self.released.set()
        self.released = threading.Event()


class _Refused(Exception):
    """An answer other than 200, args: status, message, and code of the Hub."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each body would wait 40 ms for the headers to be acknowledged

    def log_message(self, *args):
        pass

    def _handle(self):
        self.hub, (path, _, query) = self.server.hub, self.path.partition("?")
        self.query = urllib.parse.parse_qs(query)
        matches = {name: re.fullmatch(route, f"{self.command} {path}") for name, route in _ROUTES.items()}
        route, match = next(((name, match) for name, match in matches.items() if match), ("unknown", None))
        self.hub.requests.append(route)
        with self.hub.lock:
            planned = next((failure for failure in self.hub.failures if failure[0] == route), (route, None))
            if planned in self.hub.failures:
                self.hub.failures.remove(planned)
        self.how = planned[1]
        if self.how == "hold":
            self.hub.released.wait()
        size = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(size // 2 if self.how == "drop" else size)
        self.close_connection = self.how in ("drop", "lose")
        if self.how == "drop":
            return
        try:
            if isinstance(self.how, int) or match is None:
                raise _Refused(self.how or 404, f"no {self.command} {self.path}", "EntryNotFound" * (match is None))
            arguments = {name: urllib.parse.unquote(value) for name, value in match.groupdict().items() if value}
            self._authorize(route, arguments.get("repo"))
            answer = getattr(self, f"_{route}")(**arguments)
            status, headers, content = answer if isinstance(answer, tuple) else (200, {}, json.dumps(answer).encode())
        except _Refused as refused:
            status, message, code = refused.args
            headers = {"X-Error-Message": message, "X-Error-Code": code, "Retry-After": "0"}
            content = json.dumps({"error": message}).encode()
        if self.how == "lose":
            return
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(content), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(ConnectionError):  # the client has seen enough
                self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _authorize(self, route, repo):
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if route in ("validate", "upload"):  # need no token: the addresses of the storage are secret
            return
        if token not in self.hub.tokens and (token or repo not in self.hub.repos or self.hub.repos[repo].private):
            raise _Refused(401, "Invalid credentials in Authorization header", "")
        if repo is not None and repo not in self.hub.repos:
            raise _Refused(404, "Repository not found", "RepoNotFound")
        if route in ("create", "preupload", "commit", "batch") and self.hub.tokens.get(token) != "write":
            raise _Refused(403, "you must use a write token", "")

    def _revision(self, repo, name="main"):
        revisions = self.hub.repos[repo].revisions
        found = revisions[-1:] if name == "main" else [revision for revision in revisions if revision[0] == name]
        if not found:
            raise _Refused(404, f"Invalid rev id: {name}", "RevisionNotFound")
        return found[0]

    # Each route returns a value for JSON, or (status, headers, content).

    def _whoami(self):
        return {"type": "user", "name": "someone", "fullname": "Someone", "orgs": [{"name": "team"}]}

    def _validate(self):
        return {"errors": [], "warnings": []}

    def _create(self):
        asked = json.loads(self.body)
        repo = f"{asked.get('organization') or 'someone'}/{asked['name']}"
        answer = {"url": f"{self.hub.url}/datasets/{repo}", "name": repo, "id": repo}
        if repo in self.hub.repos:
            return 409, {}, json.dumps(answer).encode()
        private = bool(asked.get("private")) or asked.get("visibility") == "private"
        self.hub.repos[repo] = Repo(private and self.how != "public")
        return answer

    def _info(self, repo, revision="main"):
        oid, files = self._revision(repo, revision)
        facts = {"id": repo, "sha": oid, "private": self.hub.repos[repo].private, "tags": [], "downloads": 0}
        return {**facts, "likes": 0, "siblings": [{"rfilename": path} for path in sorted(files)]}

    def _preupload(self, repo):
        files, answers = self.hub.repos[repo].files, []
        for path in (asked["path"] for asked in json.loads(self.body)["files"]):
            mode, oid = "lfs" if path.endswith(".parquet") else "regular", files[path].oid if path in files else None
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return {"files": answers}

    def _batch(self, repo):
        objects = json.loads(self.body)["objects"]
        for asked in objects:
            if asked["oid"] not in self.hub.repos[repo].objects:
                asked["actions"] = {"upload": {"href": f"{self.hub.url}/storage/{repo}/{asked['oid']}"}}
        return {"transfer": "basic", "objects": objects}

    def _upload(self, repo, oid):
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise _Refused(400, "BadDigest", "")
        self.hub.repos[repo].objects[oid] = self.body
        return 200, {"ETag": f'"{oid}"'}, b""

    def _commit(self, repo):
        files, objects = dict(self.hub.repos[repo].files), self.hub.repos[repo].objects
        for line in self.body.splitlines():
            key, value = (item := json.loads(line))["key"], item["value"]
            if key == "file":
                files[value["path"]] = File(base64.b64decode(value["content"]), is_lfs=False)
            elif key == "lfsFile":
                files[value["path"]] = File(objects[value["oid"]], is_lfs=True)
            elif key == "deletedFile":
                del files[value["path"]]
        oid = self.hub.repos[repo].commit(files)
        return {"commitUrl": f"{self.hub.url}/datasets/{repo}/commit/{oid}", "commitOid": oid}

    def _entries(self, repo, revision):
        """{path: entry} of all files and folders of a revision."""
        entries = {}
        for path, file in self._revision(repo, revision)[1].items():
            entries[path] = file.entry(path)
            for folder in (path.rsplit("/", depth)[0] for depth in range(1, path.count("/") + 1)):
                oid = hashlib.sha1(folder.encode()).hexdigest()
                entries[folder] = {"type": "directory", "path": folder, "size": 0, "oid": oid}
        return entries

    def _tree(self, repo, revision, path=""):
        folder = f"{path.rstrip('/')}/" if path else ""
        entries = {key: value for key, value in self._entries(repo, revision).items() if key.startswith(folder)}
        if not entries:
            raise _Refused(404, f"{path} does not exist on {revision}", "EntryNotFound")
        recursive = self.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        return [entries[key] for key in sorted(entries) if recursive or "/" not in key[len(folder) :]]

    def _paths_info(self, repo, revision):
        is_json, text = "json" in self.headers.get("Content-Type", ""), self.body.decode()
        asked = (json.loads(text) if is_json else urllib.parse.parse_qs(text))["paths"]
        entries = self._entries(repo, revision)
        return [entries[path] for path in asked if path in entries]

    def _resolve(self, repo, revision, path):
        oid, files = self._revision(repo, revision)
        if path not in files:
            raise _Refused(404, "Entry not found", "EntryNotFound")
        content, etag = files[path].content, f'"{files[path].oid}"'
        headers = {"ETag": etag, "X-Repo-Commit": oid, "Accept-Ranges": "bytes", "Content-Type": "binary/octet-stream"}
        if files[path].is_lfs:
            headers |= {"X-Linked-Size": len(content), "X-Linked-ETag": etag}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            return 200, headers, content
        start = int(asked[1])
        piece = content[start : int(asked[2]) + 1 if asked[2] else None]
        if not piece:
            raise _Refused(416, "Range Not Satisfiable", "")
        return 206, headers | {"Content-Range": f"bytes {start}-{start + len(piece) - 1}/{len(content)}"}, piece
