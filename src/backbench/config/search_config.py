"""What the configuration says of a search: how trials are proposed, and when one stops early."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from backbench.config.value_types import STRICT, Count, CountOrNone, Float, Name, Seed

QUASI_RANDOM: Literal["quasi_random"] = "quasi_random"
TPE: Literal["tpe"] = "tpe"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PrunerConfig:
    """When a fine-tuning trial stops early: its best validation loss so far is worse than that of `percentile` per cent
    of the completed trials after equally many epochs. Never one of the first `startup_trials`, never in the first
    `warmup_epochs`.
    """

    percentile: Annotated[Float, Field(ge=0, le=100)]
    startup_trials: CountOrNone
    warmup_epochs: CountOrNone


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SearchConfig:
    """How trials are proposed: `quasi_random` draws all ahead, `tpe` adapts after `startup_trials`.

    `trials_per_batch` heads are trained at once, as one network; trials that fine-tune are trained one by one.
    `trials_per_round` are proposed at once and may be run side by side: sampler and pruner look at earlier rounds only,
    so that the answer is the same for any number of workers.
    """

    name: Name
    sampler: Literal["quasi_random", "tpe"]
    num_trials: Annotated[Count, Field(le=2**30)]  # as many points as SciPy's Sobol sequence has
    startup_trials: Count
    trials_per_batch: Count
    trials_per_round: Count
    pruner: PrunerConfig | None = None
    seed: Seed
