from backbench.compat.optuna_trials import stored_id
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection


def test_a_storage_knows_a_trial_by_its_id_and_not_by_its_number() -> None:
    storage = InMemoryStorage()
    for _ in range(2):
        study = storage.create_new_study([StudyDirection.MINIMIZE])
        created = storage.create_new_trial(study)
        (trial,) = storage.get_all_trials(study)
        assert stored_id(trial) == created
    assert (trial.number, created) == (0, 1)
