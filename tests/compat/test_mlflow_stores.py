from pathlib import Path

from mlflow.tracking import MlflowClient

from backbench.compat.mlflow_stores import artifact_sizes, create_store


def test_a_store_is_created_whole_once_and_its_runs_artifacts_are_listed(tmp_path: Path) -> None:
    store, artifacts = tmp_path / "mlflow.db", tmp_path / "artifacts"
    create_store(store, artifacts)
    made = store.read_bytes()
    assert not (artifacts / "mlflow.db.tmp").exists()
    create_store(store, artifacts)
    assert store.read_bytes() == made
    uri = f"sqlite:///{store}"
    client = MlflowClient(uri)
    run = client.create_run("0")
    assert run.info.artifact_uri.startswith(str(artifacts)), "MLflow puts artifacts where the store was told to"
    client.log_text(run.info.run_id, "four", "a.txt")
    client.log_text(run.info.run_id, "sixteen letters.", "folder/b.txt")
    assert artifact_sizes(run.info.artifact_uri, uri, "")["a.txt"] == 4
    assert artifact_sizes(run.info.artifact_uri, uri, "folder") == {"b.txt": 16}
