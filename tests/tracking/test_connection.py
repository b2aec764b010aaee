"""A store is opened whole, shared, and named by the environment first; a mistake in its address is one line."""

from pathlib import Path

import pytest

from backbench.config.running_config import TrackingConfig
from backbench.runtime.errors import StoreAwayError, TrackingError
from backbench.tracking.store_address import unreachable_artifacts
from tests.support.mlflow_store import client, config, opened


@pytest.mark.usefixtures("stores")
def test_environment_variable_wins_over_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", config("second.db").uri)
    opened(config())
    assert client("second.db").get_experiment_by_name("synthetic") is not None
    assert client().get_experiment_by_name("synthetic") is None


@pytest.mark.usefixtures("stores")
def test_writers_that_meet_in_a_fresh_store_share_it() -> None:
    """As two threads did in `fresh_store`."""
    assert sorted(each.name for each in client().search_experiments()) == ["Default", "met"]


@pytest.mark.usefixtures("stores")
def test_a_deleted_experiment_is_refused() -> None:
    client().delete_experiment(opened(config()).experiment_id)
    with pytest.raises(TrackingError, match="expected the MLflow experiment synthetic to be active, found it deleted"):
        opened(config())


def test_a_store_whose_creation_was_killed_is_created_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mlartifacts").mkdir()
    Path("mlartifacts/mlflow.db.tmp").write_bytes(b"half a store")
    opened(config())
    assert client().get_experiment_by_name("synthetic") is not None
    assert not Path("mlartifacts/mlflow.db.tmp").exists()


def test_an_unreachable_server_is_one_line_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreAwayError, match=r"http://\*\*\*@127\.0\.0\.1:9") as caught:
        opened(TrackingConfig(uri="http://ada:hush-hush@127.0.0.1:9", experiment="x"))
    assert "\n" not in str(caught.value)
    captured = capfd.readouterr()
    assert "hush" not in str(caught.value) + captured.out + captured.err


@pytest.mark.parametrize(
    ("uri", "location", "closed"),
    [
        ("http://u:hush@host:5000", "/no/such/place/1", True),
        ("https://host", "file:///no/such/place/1", True),
        ("http://host:5000", "mlflow-artifacts:/1", False),
        ("http://host:5000", "s3://bucket/1", False),
        ("sqlite:///mlflow.db", "/no/such/place/1", False),
        ("http://host:5000", "{shared}/1", False),
    ],
)
def test_a_path_of_the_servers_own_is_refused_unless_this_machine_has_it(
    uri: str, location: str, closed: bool, tmp_path: Path
) -> None:
    refusal = unreachable_artifacts(uri, location.format(shared=tmp_path))
    assert (refusal is not None) is closed
    if refusal is not None:
        assert "--serve-artifacts" in refusal
        assert "hush" not in refusal
