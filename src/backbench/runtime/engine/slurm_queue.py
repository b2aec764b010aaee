"""What SLURM says of a stage's jobs: asked soon after something happened, and then ever more seldom.

It asks squeue, which every SLURM has, for all jobs at once. Submitit's own `Job.done` asks the accounting, which not
every SLURM has, in the end every ten minutes, and takes a job for alive that was preempted for good.
"""

import math
import subprocess
import time

SOONEST_SECONDS, SELDOM_SECONDS = 1.0, 60.0
MOMENT_SECONDS = 10.0
ANSWERS_IN_SECONDS = 30.0
# %i is a job's id, such as 17, or 17_3 in an array. The environment may say other states, which this line overrules.
COMMAND = ("squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i|%T")
# What is suspended, requeued, held or completing may still run.
ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"),
    *("REVOKED", "TIMEOUT"),
}
FORGOTTEN = "ended and forgotten by squeue"


class SlurmQueue:
    """The states of this user's jobs, as they were when it was last asked."""

    def __init__(self) -> None:
        self._states: dict[str, str] | None = None
        self._asked, self._wait = -math.inf, SOONEST_SECONDS
        self._missed: dict[str, float] = {}

    def forget(self) -> None:
        """Forget what was said: jobs are submitted that it does not know."""
        self._states = None

    def how_it_ended(self, job: str) -> str | None:
        """Return the state in which a job has ended, such as CANCELLED; None where it has not, or nobody can say.

        To be called again and again while the job's worker is missed: for one that was not a moment ago, it asks soon.
        """
        now = time.monotonic()
        if now - self._missed.get(job, -math.inf) > MOMENT_SECONDS:
            self._wait = SOONEST_SECONDS
        self._missed[job] = now
        if now - self._asked >= self._wait:
            self._ask()
            self._asked, self._wait = time.monotonic(), min(2 * self._wait, SELDOM_SECONDS)
        if self._states is None:
            return None
        state = self._states.get(job, FORGOTTEN)
        return state if state in ENDED or state == FORGOTTEN else None

    def _ask(self) -> None:
        try:
            said = subprocess.run(COMMAND, capture_output=True, text=True, check=True, timeout=ANSWERS_IN_SECONDS)
        except (OSError, subprocess.SubprocessError):
            return  # SLURM's controller is away for a while: what it said last holds
        self._states = dict(line.strip().split("|") for line in said.stdout.splitlines())
