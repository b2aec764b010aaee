"""A download ends in the pinned file or in one line, whatever the server does."""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from backbench.runtime.download import Limits, UnpinnedError, fetch
from backbench.runtime.errors import DownloadError
from tests.support.configs import PROJECT
from tests.support.file_server import Answer, FileServer, serving

CONTENT = np.random.default_rng(0).bytes(300_000)
CHANGED = np.random.default_rng(1).bytes(300_000)
QUICK = Limits(stalled_seconds=0.4, num_attempts=3, wait_seconds=0.01, free_bytes=0)


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def fetched(
    server: FileServer,
    folder: Path,
    digest: str | None = sha256(CONTENT),
    *,
    limits: Limits = QUICK,
    watch: Callable[..., None] = lambda *_: None,
    url: str | None = None,
) -> Path:
    path = folder / "weights.h5"
    fetch(url or server.url, path, digest, watch=watch, limits=limits)
    return path


def left(folder: Path) -> set[str]:
    """What lies in a folder, but for the lock, which is empty and stays."""
    return {path.name for path in folder.iterdir()} - {".weights.h5.lock"}


@pytest.mark.parametrize("says_length", [True, False])
@pytest.mark.parametrize("digest", [sha256(CONTENT), f"md5:{hashlib.md5(CONTENT).hexdigest()}"], ids=["sha256", "md5"])
def test_a_whole_file_is_verified_and_put_in_place(tmp_path: Path, digest: str, says_length: bool) -> None:
    with serving(Answer(content=CONTENT, says_length=says_length)) as server:
        path = fetched(server, tmp_path / "new folder", digest)
        assert path.read_bytes() == CONTENT
        assert left(path.parent) == {"weights.h5"}
        assert len(server.seen) == 1


def test_after_a_cut_off_only_the_rest_is_sent(tmp_path: Path) -> None:
    told: list[tuple[int, int | None, str]] = []
    with serving(Answer(content=CONTENT, cut_after=200_000), Answer(content=CONTENT)) as server:
        path = fetched(server, tmp_path, watch=lambda at, total, detail="": told.append((at, total, detail)))
        first, second = server.seen
    assert path.read_bytes() == CONTENT
    assert "Range" not in first.headers
    assert second.headers["Range"] == "bytes=200000-"
    assert second.headers["If-Range"] == '"first"'
    assert second.num_bytes == 100_000
    assert told[-1] == (300_000, 300_000, "")
    assert [detail for *_, detail in told if detail] == ["the connection broke off; trying again in 0 s"]


def test_many_cut_offs_are_gone_on_from_as_long_as_each_attempt_brings_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backbench.runtime.download.PROGRESS_BYTES", 10_000)
    with serving(Answer(content=CONTENT, cut_after=30_000)) as server:
        assert fetched(server, tmp_path).read_bytes() == CONTENT
        assert len(server.seen) == 10


def test_a_server_that_always_cuts_off_at_the_same_place_is_given_up(tmp_path: Path) -> None:
    answer = Answer(content=CONTENT, cut_after=200_000, takes_ranges=False)
    with (
        serving(answer) as server,
        pytest.raises(DownloadError, match="3 attempts in a row.*broke off; what came is kept"),
    ):
        fetched(server, tmp_path)
    assert left(tmp_path) == {"weights.h5.part", "weights.h5.part.json"}


def test_a_server_without_ranges_sends_all_again_and_nothing_is_doubled(tmp_path: Path) -> None:
    with serving(Answer(content=CONTENT, cut_after=200_000), Answer(content=CONTENT, takes_ranges=False)) as server:
        assert fetched(server, tmp_path).read_bytes() == CONTENT
        assert [seen.num_bytes for seen in server.seen] == [200_000, 300_000]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_validator_nothing_is_gone_on_from(tmp_path: Path, etag: str | None) -> None:
    with serving(Answer(content=CONTENT, cut_after=200_000, etag=etag), Answer(content=CONTENT, etag=etag)) as server:
        assert fetched(server, tmp_path).read_bytes() == CONTENT
        assert "Range" not in server.seen[1].headers


def test_the_date_stands_in_for_an_etag(tmp_path: Path) -> None:
    date = {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
    cut = Answer(content=CONTENT, cut_after=200_000, etag=None, headers=date)
    with serving(cut, Answer(content=CONTENT, etag=None, headers=date, heeds_if_range=False)) as server:
        assert fetched(server, tmp_path).read_bytes() == CONTENT
        assert server.seen[1].headers["If-Range"] == date["Last-Modified"]
        assert server.seen[1].num_bytes == 100_000


@pytest.mark.parametrize("heeds_if_range", [True, False])
def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(tmp_path: Path, heeds_if_range: bool) -> None:
    changed = Answer(content=CHANGED, etag='"second"', heeds_if_range=heeds_if_range)
    with serving(Answer(content=CONTENT, cut_after=200_000), changed) as server:
        assert fetched(server, tmp_path, sha256(CHANGED)).read_bytes() == CHANGED


@pytest.mark.parametrize("shorter", [200_000, 100_000])
def test_a_file_that_became_shorter_is_fetched_from_its_beginning(tmp_path: Path, shorter: int) -> None:
    """The server has nothing after byte 200,000: HTTP 416, or the end of the old file."""
    content = CHANGED[:shorter]
    changed = Answer(content=content, etag='"second"', heeds_if_range=False)
    with serving(Answer(content=CONTENT, cut_after=200_000), changed) as server:
        assert fetched(server, tmp_path, sha256(content)).read_bytes() == content


def test_a_slow_server_is_waited_for(tmp_path: Path) -> None:
    slow, patient = Answer(content=CONTENT, block_bytes=10_000, pause_seconds=0.1), replace(QUICK, stalled_seconds=2.0)
    with serving(slow) as server:
        started = time.monotonic()
        assert fetched(server, tmp_path, limits=patient).read_bytes() == CONTENT
        assert time.monotonic() - started > patient.stalled_seconds
        assert len(server.seen) == 1


def test_a_stalled_server_is_given_up_with_one_line(tmp_path: Path) -> None:
    with serving(Answer(content=CONTENT, stall_after=100_000), Answer(content=CONTENT, stall_after=0)) as server:
        with pytest.raises(DownloadError, match="the last one: stalled for 0.4 s; what came is kept") as caught:
            fetched(server, tmp_path)
        server.answers = [Answer(content=CONTENT)]
        assert "\n" not in str(caught.value)
        assert fetched(server, tmp_path).read_bytes() == CONTENT
        assert server.seen[-1].num_bytes == 200_000


def test_another_file_is_refused_with_both_digests_and_nothing_stays(tmp_path: Path) -> None:
    with serving(Answer(content=CHANGED)) as server, pytest.raises(DownloadError) as caught:
        fetched(server, tmp_path)
    for content in (CONTENT, CHANGED):
        assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert left(tmp_path) == set()


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final(tmp_path: Path, status: int) -> None:
    with serving(Answer(status=status)) as server:
        with pytest.raises(DownloadError, match=f"{server.url}: expected the file, found HTTP {status}"):
            fetched(server, tmp_path)
        assert len(server.seen) == 1
    assert left(tmp_path) == set()


def test_a_server_in_trouble_is_asked_again_when_it_says(tmp_path: Path) -> None:
    busy = Answer(status=503, headers={"Retry-After": "1"})
    with serving(busy, Answer(status=429), Answer(content=CONTENT)) as server:
        started = time.monotonic()
        assert fetched(server, tmp_path).read_bytes() == CONTENT
        assert time.monotonic() - started > 1


def test_no_server_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9/weights\.h5.*no connection \(Connection refused\)"):
        fetch("http://127.0.0.1:9/weights.h5", tmp_path / "weights.h5", None, watch=lambda *_: None, limits=QUICK)


def test_redirects_are_followed_to_http_alone(tmp_path: Path) -> None:
    with serving() as server:
        server.answers = [Answer(status=302, headers={"Location": "/elsewhere"}), Answer(content=CONTENT)]
        assert fetched(server, tmp_path).read_bytes() == CONTENT
        assert server.seen[1].path == "/elsewhere"
        server.answers = [Answer(status=302, headers={"Location": "file:///etc/passwd"})]
        with pytest.raises(DownloadError, match="expected an address of http or https"):
            fetched(server, tmp_path / "other")
        server.answers = [Answer(status=302, headers={"Location": "/again"})]
        with pytest.raises(DownloadError, match="only redirects"):
            fetched(server, tmp_path / "other")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "/etc/passwd", "ftp://127.0.0.1/x", "http://"])
def test_only_http_is_an_address(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="expected an address of http or https"):
        fetch(url, tmp_path / "weights.h5", None, watch=lambda *_: None, limits=QUICK)


def test_no_secret_of_an_address_is_told_or_kept(tmp_path: Path) -> None:
    with serving(Answer(content=CONTENT, cut_after=10)) as server:
        url = server.url.replace("//", "//ada:hush@") + "?token=hush"
        with pytest.raises(DownloadError) as caught:
            fetched(server, tmp_path, url=url)
        assert server.seen[0].headers["Authorization"].startswith("Basic ")
        assert server.seen[0].path.endswith("?token=hush")
    assert "hush" not in str(caught.value) + (tmp_path / "weights.h5.part.json").read_text()


def test_a_file_over_the_limit_is_refused_before_it_comes(tmp_path: Path) -> None:
    with serving(Answer(content=CONTENT)) as server:
        with pytest.raises(DownloadError, match="at most 1000 bytes, found 300000 or more"):
            fetched(server, tmp_path, limits=Limits(max_bytes=1000))
        assert left(tmp_path) == set()
        server.answers = [Answer(content=CONTENT, says_length=False)]
        with pytest.raises(DownloadError, match="at most 1000 bytes"):
            fetched(server, tmp_path, limits=Limits(max_bytes=1000))
    assert left(tmp_path) == set()


def test_a_disk_without_room_is_told_before_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1_000_100_000))
    room = "expected room for 300000 bytes .* found 1000100000; make room"
    with serving(Answer(content=CONTENT)) as server, pytest.raises(DownloadError, match=room):
        fetched(server, tmp_path, limits=Limits())
    assert left(tmp_path) == set()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with serving(Answer(content=CONTENT)) as server, pytest.raises(DownloadError, match="expected a folder"):
        fetched(server, tmp_path / "file")


def test_two_at_once_fetch_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slow = Answer(content=CONTENT, block_bytes=60_000, pause_seconds=0.1)
    with serving(slow) as server:
        threads = [threading.Thread(target=fetched, args=(server, tmp_path)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.seen) == 1
    assert (tmp_path / "weights.h5").read_bytes() == CONTENT
    assert "another process fetches it" in capsys.readouterr().out


FETCH = """
import sys
from pathlib import Path
from backbench.runtime.download import Limits, fetch
url, path, digest = sys.argv[1:]
fetch(url, Path(path), digest, watch=lambda *_: None, limits=Limits(free_bytes=0))
"""


def test_a_killed_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    with serving(Answer(content=CONTENT, stall_after=200_000), Answer(content=CONTENT)) as server:
        command = [sys.executable, "-c", FETCH, server.url, str(path), sha256(CONTENT)]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(PROJECT / "src")})
        part, deadline = tmp_path / "weights.h5.part", time.monotonic() + 20
        while not (part.is_file() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        process.wait()
        num_bytes = part.stat().st_size
        assert not path.exists()
        assert 0 < num_bytes <= 200_000
        assert fetched(server, tmp_path).read_bytes() == CONTENT
        assert server.seen[1].num_bytes == 300_000 - num_bytes


def test_without_a_pinned_digest_the_file_waits_aside_until_there_is_one(tmp_path: Path) -> None:
    with serving(Answer(content=CONTENT)) as server:
        for _ in range(2):
            with pytest.raises(UnpinnedError) as caught:
                fetched(server, tmp_path, None)
            assert f"sha256:{caught.value.sha256}" == sha256(CONTENT)
            assert left(tmp_path) == {"weights.h5.part", "weights.h5.part.json"}
        assert fetched(server, tmp_path).read_bytes() == CONTENT
        assert left(tmp_path) == {"weights.h5"}
        assert len(server.seen) == 1


def test_a_part_of_another_address_is_not_gone_on_from(tmp_path: Path) -> None:
    with serving(Answer(content=CHANGED, cut_after=200_000, takes_ranges=False)) as server:
        with pytest.raises(DownloadError, match="what came is kept"):
            fetched(server, tmp_path, url=server.url.replace("weights.h5", "other.h5"))
        server.answers = [Answer(content=CONTENT)]
        assert fetched(server, tmp_path).read_bytes() == CONTENT
        assert "Range" not in server.seen[-1].headers


def test_a_damaged_note_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "weights.h5.part").write_bytes(CHANGED[:1000])
    (tmp_path / "weights.h5.part.json").write_text("{")
    with serving(Answer(content=CONTENT)) as server:
        assert fetched(server, tmp_path).read_bytes() == CONTENT


def test_proxies_are_taken_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Answer(content=CONTENT)) as server:
        monkeypatch.setenv("http_proxy", server.url.removesuffix("/weights.h5"))
        monkeypatch.setenv("no_proxy", "")
        fetched(server, tmp_path, url="http://weights.invalid/weights.h5")
        assert server.seen[0].path == "http://weights.invalid/weights.h5"


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"here")
    with FileLock(tmp_path / ".weights.h5.lock"):
        pass
    with serving() as server:
        assert fetched(server, tmp_path).read_bytes() == b"here"
        assert server.seen == []
