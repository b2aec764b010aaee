"""How Dask is set, on both sides."""

LOOPBACK = "127.0.0.1"
SCHEDULER_FILE = "scheduler.json"
SETTINGS = {
    "distributed.comm.timeouts.connect": "30s",
    "distributed.comm.timeouts.tcp": "30s",
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
}
