"""What identifies an engine (docs/engines.md): SHA-256 of a text that names what is run, by which Python, with which configuration, and
each file of the engine's top-level package with the SHA-256 of its content. What the engine imports from other packages is not in it."""

import hashlib
import importlib.util
import os
import sys

from cutline.faults import Refused


def digest(spec, package, config):
    """Lower-case hex. Reads the package's files and imports nothing."""
    lines = [
        "python",
        f"spec {spec}",
        f"python {sys.version_info.major}.{sys.version_info.minor}",
        f"config {hashlib.sha256(config).hexdigest()}",
    ]
    lines.extend(f"file {_sha256(path)} {name}" for name, path in sorted(_files(package)))
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")).hexdigest()


def _files(package):
    """Names from the package's folder, and paths, of all files of a package or of a module that is one file."""
    try:
        found = importlib.util.find_spec(package)
    except Exception as error:
        raise Refused(f"{package} cannot be looked for: {type(error).__name__}: {error}") from None
    if found is None:
        raise Refused(
            f"there is no module {package} for {sys.executable}: install it there, start Cutline in its folder, or set engine.process.venv"
        )
    if found.submodule_search_locations is None:
        if not found.origin or not os.path.isfile(found.origin):
            raise Refused(f"{package} is no file, so nothing identifies it: an engine has to be a module or package on disk")
        return [(os.path.basename(found.origin), found.origin)]
    files = []
    for folder in found.submodule_search_locations:
        for at, folders, names in os.walk(folder, followlinks=True):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            paths = (os.path.join(at, name) for name in names)
            files.extend((os.path.relpath(path, folder), path) for path in paths if os.path.isfile(path))
    return files


def _sha256(path):
    whole = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                whole.update(piece)
    except OSError as error:
        raise Refused(f"a file of the engine cannot be read: {error}") from None
    return whole.hexdigest()
