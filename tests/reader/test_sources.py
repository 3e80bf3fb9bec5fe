"""Files by path or URL: the same bytes, few requests, and clear errors without secrets."""

import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import fsspec
import pytest
from makers.server import running_server

from imagenet_reader.io import Listing, exists, open_file, remote, stamp_of
from imagenet_reader.io.paths import join
from imagenet_reader.text import redact

CONTENT = random.Random(0).randbytes(3 << 20)
FAR_RANGES = [(k * 100_000 + 3, 1_000) for k in range(30)]  # further apart than what is fetched as one


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(remote, "PAUSES", (0,) * len(remote.PAUSES))
    with running_server(files={"a.tar": CONTENT}) as server:
        yield server


@pytest.fixture(params=["local", "http", "memory"])
def url(request, tmp_path):
    if request.param == "http":
        yield join(request.getfixturevalue("server").url, "a.tar")
    elif request.param == "memory":
        fsspec.filesystem("memory").pipe("/folder/a.tar", CONTENT)
        yield "memory://folder/a.tar"
        fsspec.filesystem("memory").rm("/folder", recursive=True)
    else:
        (tmp_path / "a.tar").write_bytes(CONTENT)
        yield str(tmp_path / "a.tar")


def slices(ranges):
    return [CONTENT[offset : offset + size] for offset, size in ranges]


def test_same_bytes_wherever_the_file_is(url):
    ranges = [(5, 10), (0, 3), *FAR_RANGES, (8, 20), (len(CONTENT) - 4, 100), (len(CONTENT) + 9, 5), (7, 0)]
    first, second = bytearray(4), bytearray(7)
    with open_file(url) as file:
        assert file.read_many(ranges) == slices(ranges)
        assert file.read(1 << 20, 99) == CONTENT[1 << 20 :][:99]
        assert file.read_into(50, memoryview(first), memoryview(second)) == 11
        assert file.stamp() == stamp_of(url) and file.stamp().size == len(CONTENT)
    assert first + second == CONTENT[50:61]


def test_names_and_existence_wherever_the_file_is(url):
    folder = url.rpartition("/")[0]
    assert Listing().names(folder) == ["a.tar"]
    assert exists(url) and not exists(join(folder, "b.tar"))
    with pytest.raises(FileNotFoundError, match=r"b\.tar"), open_file(join(folder, "b.tar")):
        pass


def test_near_ranges_are_merged_and_others_are_concurrent(server):
    with open_file(join(server.url, "a.tar")) as file:
        assert file.read(0, 1) == CONTENT[:1]  # and the server has shown that it answers ranges
        before = server.requests
        near = [(k * 1000, 500) for k in range(100)]
        assert file.read_many(near) == slices(near)
        assert server.requests == before + 1
        server.latency = 0.3
        ranges = [(k * 80_000, 10) for k in range(36)]
        assert file.read_many(ranges) == slices(ranges)
        assert server.most_in_flight >= 32


@pytest.mark.parametrize(("failure", "tries"), [(503, 7), (403, 1)])
def test_final_failures_name_the_url_without_secrets(server, failure, tries):
    url = server.url.replace("//", "//user:pass@") + "/a.tar?sig=secret"
    with open_file(url) as file:
        before, server.fail = server.requests, lambda number: failure
        with pytest.raises(OSError, match=f"{server.url}/a.tar failed.*{failure}") as caught:
            file.read(0, 10)
        assert server.requests - before >= tries
    assert "secret" not in str(caught.value) and "pass" not in str(caught.value)
    assert isinstance(caught.value, PermissionError) == (failure == 403)


def test_object_replaced_by_a_shorter_one(server):
    with open_file(join(server.url, "a.tar")) as file:
        server.files["a.tar"], server.versions["a.tar"] = CONTENT[:1000], "2"
        with pytest.raises(OSError, match=r"a\.tar failed.*(replaced|416)"):
            file.read(500, 1000)


@pytest.mark.parametrize("validator", ["ETag", "Last-Modified", ""])
def test_an_object_of_the_same_size_is_told_apart(server, validator):
    server.validator = validator
    before = stamp_of(join(server.url, "a.tar"))
    assert stamp_of(join(server.url, "a.tar")) == before
    server.files["a.tar"], server.versions["a.tar"] = CONTENT[::-1], "2"
    assert stamp_of(join(server.url, "a.tar")) != before


def test_a_server_that_asks_to_wait(server):
    with open_file(join(server.url, "a.tar")) as file:
        assert file.read(0, 1) == CONTENT[:1]
        server.headers["Retry-After"], until = "1", time.monotonic() + 0.5
        server.fail = lambda number: 429 if time.monotonic() < until else None
        assert file.read(5, 10) == CONTENT[5:15]


def test_a_server_that_is_not_reached_is_reported(monkeypatch):
    monkeypatch.setattr(remote, "PAUSES", (0.1, 0.1))
    monkeypatch.setattr(remote, "PATIENCE", 0.1)
    with pytest.warns(UserWarning, match="127.0.0.1:9/a.tar failed.*tried again"), pytest.raises(OSError):  # noqa: PT011
        stamp_of("http://127.0.0.1:9/a.tar")


def test_a_web_page_in_place_of_a_file(server):
    server.headers["Content-Type"] = "text/html"
    assert not exists(join(server.url, "a.tar"))
    with pytest.raises(OSError, match=r"a\.tar is a web page, such as a log-in page"):
        stamp_of(join(server.url, "a.tar"))


def test_settings_of_fsspec_are_used(server, monkeypatch):
    server.token = "Bearer geheim"
    monkeypatch.setitem(fsspec.config.conf, "http", {"client_kwargs": {"headers": {"Authorization": server.token}}})
    assert stamp_of(join(server.url, "a.tar")).size == len(CONTENT)


def test_clients_that_are_not_made_for_threads_get_one_request_at_a_time(monkeypatch):
    memory, running, at_once = fsspec.get_filesystem_class("memory"), [], []

    def cat_file(*arguments, original=memory.cat_file, **options):
        running.append(arguments)
        at_once.append(len(running))
        time.sleep(0.01)
        running.pop()
        return original(*arguments, **options)

    monkeypatch.setattr(memory, "cat_file", cat_file)
    fsspec.filesystem("memory").pipe("/single/a.tar", CONTENT)
    with open_file("memory://single/a.tar") as file, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(file.read_many, [FAR_RANGES[:5]] * 4)) == [slices(FAR_RANGES[:5])] * 4
    assert {*at_once} == {1}


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ImportError, match="Install s3fs"), open_file("s3://key:secret@bucket/a.tar"):
        pass


def test_redact():
    for text, expected in {
        "https://u:p@h/a?sig=1#x": "https://h/a",
        "https://h/a?sig=u@v": "https://h/a",
        "GET 'http://u@h/a?s=1': 503": "GET 'http://h/a': 503",
        "hf://datasets/team/a@main/x.tar": "hf://datasets/team/a@main/x.tar",
    }.items():
        assert redact(text) == expected
