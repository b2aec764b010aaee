"""The certificate of one scheduler: who has its files can connect, nobody else."""

import os
from pathlib import Path

from distributed.security import Security

CERTIFICATE, KEY = "certificate.pem", "key.pem"
ROLES = ("scheduler", "worker", "client")


def make_certificate(folder: Path) -> None:
    """Write a certificate and its key, which only this user can read."""
    made = Security.temporary()
    for name, text in ((CERTIFICATE, made.tls_ca_file), (KEY, made.tls_worker_key)):
        (folder / name).unlink(missing_ok=True)
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)


def security_of(folder: Path) -> Security:
    """Return what scheduler, workers and clients of the certificate in `folder` connect with."""
    certificate, key = str(folder / CERTIFICATE), str(folder / KEY)
    files = {f"tls_{role}_{kind}": path for role in ROLES for kind, path in (("cert", certificate), ("key", key))}
    return Security(tls_ca_file=certificate, require_encryption=True, **files)
