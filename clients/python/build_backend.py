"""Builds the package's wheel: the Python files, and `_exchange.c` compiled against CPython's limited API.

pip calls `build_wheel` (PEP 517). It needs the C compiler that `CC` names, else `cc`, and CPython's headers; nothing else, so that an
installation asks no package index. What is built works with every CPython from 3.9 on this kind of machine.
"""

import base64
import hashlib
import os
import pathlib
import subprocess
import sysconfig
import tempfile
import zipfile

NAME, VERSION = "cutline", "0.1.0"
TAG = "cp39-abi3-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")
SOURCE = pathlib.Path(__file__).resolve().parent / "src" / NAME
#: The first time that a zip file can name: the same sources give the same wheel.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)

METADATA = f"""\
Metadata-Version: 2.1
Name: {NAME}
Version: {VERSION}
Summary: Runs Python engines for Cutline
License: MIT OR Apache-2.0
Requires-Python: >=3.9
"""

WHEEL = f"""\
Wheel-Version: 1.0
Generator: {NAME} build_backend
Root-Is-Purelib: false
Tag: {TAG}
"""


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Writes the wheel into the directory and returns its file name."""
    info = f"{NAME}-{VERSION}.dist-info"
    files = {f"{NAME}/{path.name}": path.read_bytes() for path in sorted(SOURCE.glob("*.py"))}
    files[f"{NAME}/_exchange.abi3.so"] = compile_extension()
    files[f"{info}/METADATA"] = METADATA.encode()
    files[f"{info}/WHEEL"] = WHEEL.encode()
    record = "".join(f"{name},sha256={digest(content)},{len(content)}\n" for name, content in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = f"{NAME}-{VERSION}-{TAG}.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, wheel), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, ZIP_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o755 if name.endswith(".so") else 0o644) << 16
            archive.writestr(entry, content)
    return wheel


def compile_extension():
    """The bytes of the compiled extension."""
    include = sysconfig.get_paths()["include"]
    if not os.path.isfile(os.path.join(include, "Python.h")):
        raise SystemExit(f"cutline needs CPython's headers to build its extension: no {include}/Python.h; install python3-dev")
    with tempfile.TemporaryDirectory() as folder:
        built = os.path.join(folder, "_exchange.abi3.so")
        compiler = os.environ.get("CC", "cc").split()
        flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror=implicit-function-declaration", "-fPIC", "-shared", f"-I{include}"]
        command = [*compiler, *flags, str(SOURCE / "_exchange.c"), "-o", built]
        try:
            subprocess.run(command, check=True)
        except OSError as error:
            raise SystemExit(f"cutline needs a C compiler to build its extension: {compiler[0]}: {error}") from None
        except subprocess.CalledProcessError:
            raise SystemExit(f"cutline's extension does not compile: {' '.join(command)}") from None
        with open(built, "rb") as file:
            return file.read()


def digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
