"""conf/backbone says of Keras's own weights what Keras's own code asks for: the address, and the digest if any.

A few run with the rest; `make test-all` asks every constructor, whose graph is built before it asks.
"""

from collections.abc import Iterator

import keras
import pytest
from keras.src.utils import file_utils

from backbench.backbones.graph import build_graph
from tests.support.configs import PROJECT, backbone_config

SPREAD = {"vgg16", "mobilenet_v2"}
ALGORITHMS = {32: "md5", 64: "sha256"}  # by the number of hexadecimal digits
NAMES = sorted(path.stem for path in (PROJECT / "conf/backbone").glob("*.yaml"))
OF_KERAS = [name for name in NAMES if backbone_config(name).constructor.startswith("keras.applications.")]
FULL = [name for name in OF_KERAS if backbone_config(name).has_own_width]
CASES = [pytest.param(name, marks=[] if name in SPREAD else pytest.mark.every_backbone) for name in FULL]


class Asked(BaseException):
    """What a constructor would fetch."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def get_file(_: str, origin: str, *, cache_subdir: str, file_hash: str | None = None) -> str:
        raise Asked(origin, file_hash)

    monkeypatch.setattr(file_utils, "get_file", get_file)
    yield
    keras.utils.clear_session()


@pytest.mark.parametrize("name", CASES)
def test_address_and_digest_are_those_of_keras(name: str, asked: None) -> None:
    config = backbone_config(name)
    assert config.pretrained is not None
    with pytest.raises(Asked) as caught:
        build_graph(config, weights="imagenet")
    url, digits = caught.value.args
    assert config.pretrained.url == url
    expected = None if digits is None else f"{ALGORITHMS[len(digits)]}:{digits}"
    pinned_here = (config.pretrained.digest or "").startswith("sha256:")
    # A user may pin a SHA-256 where Keras has nothing as strong.
    assert config.pretrained.digest == expected or (pinned_here and not (expected or "").startswith("sha256:"))


def test_thinned_backbones_name_no_published_weights() -> None:
    assert [name for name in OF_KERAS if name not in FULL and backbone_config(name).pretrained is not None] == []
