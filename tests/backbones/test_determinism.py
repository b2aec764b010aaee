import pytest
import tensorflow as tf

from backbench.backbones.determinism import grow_gpu_memory, limit_threads, make_deterministic
from backbench.runtime.errors import ConfigError


def test_the_memory_of_every_gpu_grows_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test has a GPU, so TensorFlow is made to see two; what it then does is for a GPU to show."""
    grown: list[tuple[str, bool]] = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [f"{kind}:{index}" for index in range(2)])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, grows: grown.append((gpu, grows)))
    make_deterministic(0, memory_growth=False)
    assert grown == []
    make_deterministic(0, memory_growth=True)
    assert grown == [("GPU:0", True), ("GPU:1", True)]
    monkeypatch.undo()
    grow_gpu_memory()


def test_threads_are_refused_on_a_backend_that_cannot_be_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "openvino")
    limit_threads(0)
    with pytest.raises(ConfigError, match="threads: expected 0 on openvino, found 2; set it to 0"):
        limit_threads(2)
