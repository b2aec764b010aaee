"""Who runs a stage's tasks: its own process, or workers on this machine or others. It changes no result."""

import os

# Dask reads it when it is imported. Else what it says of every connection would be the last line of a worker's log.
os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")
