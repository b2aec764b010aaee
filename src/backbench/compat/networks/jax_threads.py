"""How many threads JAX computes with.

XLA sizes its pool by an environment variable when its client for the CPU starts; the flags that are named for it limit
nothing. JAX has no public name for whether a client has started.

Checked with JAX 0.10.2.
"""

import os

THREADS = "NPROC"


def limit_jax(num_threads: int) -> None:
    """Let JAX compute with so many threads.

    Raises:
        RuntimeError: it computes already, with another number.
    """
    from jax._src.xla_bridge import backends_are_initialized

    if backends_are_initialized() and os.environ.get(THREADS) != str(num_threads):
        raise RuntimeError(f"JAX computes already, so that it cannot be limited to {num_threads} threads")
    os.environ[THREADS] = str(num_threads)
