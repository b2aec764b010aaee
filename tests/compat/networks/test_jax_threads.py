import subprocess
import sys

PROGRAM = """
from pathlib import Path
from backbench.compat.networks.jax_threads import limit_jax

limit_jax(2)
limit_jax(3)
import jax
jax.numpy.ones(2).block_until_ready()
names = ((task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir())
print(sum(name == "tf_XLAEigen" for name in names))
limit_jax(3)
try:
    limit_jax(2)
except RuntimeError as error:
    print(error)
"""


def test_jax_has_as_many_threads_as_it_was_told_before_it_started_and_takes_no_other_number_then() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["3", "JAX computes already, so that it cannot be limited to 2 threads"]
