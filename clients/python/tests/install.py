#!/usr/bin/env python3
"""Makes a virtual environment with this package in it, for tests, and prints the path of its Python.

    python3 clients/python/tests/install.py

It lies in cutline-python under CARGO_TARGET_DIR, else under target/; what is there and up to date is used again. Several may call at
once. Nothing is fetched. Exit code 77 means that this machine cannot: no venv module, C compiler or headers.
"""

import fcntl
import hashlib
import os
import pathlib
import subprocess
import sys
import sysconfig

PACKAGE = pathlib.Path(__file__).resolve().parent.parent
ROOT = PACKAGE.parent.parent


def main():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    folder = ROOT / target / f"cutline-python-{sys.version_info.major}.{sys.version_info.minor}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        python, mark = folder / "bin" / "python", folder / "installed"
        wanted = fingerprint()
        if not (mark.is_file() and mark.read_text() == wanted):
            mark.unlink(missing_ok=True)
            missing = cannot()
            if missing:
                sys.exit(skip(missing))
            if not python.is_file():
                quietly(sys.executable, "-m", "venv", str(folder))
            quietly(str(python), "-m", "pip", "install", "--no-index", "--force-reinstall", str(PACKAGE))
            mark.write_text(wanted)
    print(python)


def fingerprint():
    """What the installation was made from."""
    whole = hashlib.sha256(sys.version.encode())
    for path in sorted([PACKAGE / "pyproject.toml", PACKAGE / "build_backend.py", *PACKAGE.glob("src/cutline/*.[cp]*")]):
        whole.update(path.read_bytes())
    return whole.hexdigest()


def cannot():
    """What is missing here, if anything."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return "Python's venv and ensurepip"
    if not os.path.isfile(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
        return "Python's headers"
    try:
        subprocess.run([*os.environ.get("CC", "cc").split(), "--version"], check=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return "a C compiler"
    return None


def skip(missing):
    print(f"skipped: {missing} not found", file=sys.stderr)
    return 77


def quietly(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stdout.decode(errors="replace"))
        sys.exit(f"{' '.join(command)} ended with {done.returncode}")


if __name__ == "__main__":
    main()
