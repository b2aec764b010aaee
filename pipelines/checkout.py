"""Put the code of this checkout first: the environment's may be another's (a git worktree, `dvc exp run --temp`)."""

import os
import sys
from pathlib import Path

SOURCE = str(Path(__file__).resolve().parents[1] / "src")
sys.path.insert(0, SOURCE)
# For processes that a stage starts, such as workers.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")]))
