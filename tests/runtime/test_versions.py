"""What computes is written where DVC sees it, and a stage refuses to compute in another environment."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from backbench.runtime.errors import ConfigError
from backbench.runtime.installation import versions_here
from backbench.runtime.versions import FILE, record_versions, require_recorded_versions
from tests.support.configs import PROJECT

PINNED = re.compile(r"^([a-z0-9.-]+)==(\S+)(?: ; python_full_version < '3\.12')? \\$", re.MULTILINE)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)


def test_what_is_recorded_is_accepted_and_is_not_written_again() -> None:
    assert f"keras {versions_here()['keras']}" in record_versions()
    require_recorded_versions()
    written = FILE.stat().st_mtime_ns
    assert record_versions() == []
    assert FILE.stat().st_mtime_ns == written


@pytest.mark.parametrize("name", versions_here())
def test_another_version_is_refused_until_it_is_recorded(name: str) -> None:
    record_versions()
    content = OmegaConf.load(FILE)
    content[name] = "0.1"
    OmegaConf.save(content, FILE)
    with pytest.raises(ConfigError, match=rf"found {name} \S+ \(0\.1 recorded\); `make repro` writes it"):
        require_recorded_versions()
    assert record_versions() == [f"{name} {versions_here()[name]}"]
    require_recorded_versions()


def test_another_backend_is_another_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    record_versions()
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(ConfigError, match=r"found backend jax \(tensorflow recorded\), backend_version "):
        require_recorded_versions()


def test_nothing_recorded_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected the versions in conf/versions\.yaml, found backend "):
        require_recorded_versions()


def test_the_committed_versions_are_those_of_the_lock() -> None:
    committed = OmegaConf.to_container(OmegaConf.load(PROJECT / FILE))
    pinned = dict(PINNED.findall((PROJECT / "requirements.lock").read_text(encoding="utf-8")))
    assert isinstance(committed, dict)
    assert committed.pop("backend") == "tensorflow"
    assert committed.pop("backend_version") == pinned["tensorflow"]
    # Null is what the lock has not: the package of an extra that is not in it.
    assert committed == {name: pinned.get(str(name).replace("_", "-")) for name in committed}
    assert [name for name, version in committed.items() if version is None] == ["pillow_heif"]
