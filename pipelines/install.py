"""Make .venv right for this folder and this machine, and let DVC work here: before every command of make.

Usage: `PYTHONPATH=src python pipelines/install.py [yes|no]`, the argument being make's `GPU=`.
"""

import sys

from backbench.cli import dvc_settings
from backbench.cli.virtual_environment import bring_up_to_date
from backbench.runtime.errors import BackbenchError, tell

try:
    bring_up_to_date(*sys.argv[1:2])
    dvc_settings.agree()
except BackbenchError as error:
    tell(error)
    sys.exit(2)
except KeyboardInterrupt:
    sys.exit(130)
