"""How scheduler, workers and clients connect: by a certificate of their scheduler's own, or not at all."""

import os
from pathlib import Path

from distributed.security import Security

LOOPBACK = "127.0.0.1"
SCHEDULER_FILE, CERTIFICATE, KEY = "scheduler.json", "certificate.pem", "key.pem"
SETTINGS = {
    "distributed.comm.timeouts.connect": "30s",
    "distributed.comm.timeouts.tcp": "30s",
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
}


def make_certificate(folder: Path) -> None:
    """Write a certificate and its key, which only this user can read."""
    made = Security.temporary()
    for name, text in ((CERTIFICATE, made.tls_ca_file), (KEY, made.tls_worker_key)):
        (folder / name).unlink(missing_ok=True)
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)


def security_of(folder: Path) -> Security:
    """Return what a process needs to connect with the certificate in `folder`, in whatever role."""
    files = {"cert": str(folder / CERTIFICATE), "key": str(folder / KEY)}
    roles = {f"tls_{role}_{kind}": file for role in ("scheduler", "worker", "client") for kind, file in files.items()}
    return Security(tls_ca_file=files["cert"], require_encryption=True, **roles)
