"""The interpreters, and a virtual environment for each."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

DEFAULT = ("3.11", "3.12")
PACKAGES = ("memray", "numpy", "fastapi", "uvicorn")
VERSION = "import platform; print(platform.python_version())"


@dataclass(frozen=True)
class Interpreter:
    """An interpreter. `python` has the packages that were asked for."""

    version: str
    python: str

    def package_version(self, package):
        """The version of an installed package; None if it is not there."""
        code = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
        answer = subprocess.run([self.python, "-c", code, package], capture_output=True, text=True)
        return answer.stdout.strip() or None


def version_of(python):
    answer = subprocess.run([python, "-c", VERSION], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def installed():
    """Every interpreter where `scripts/pythons` looks, by version."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    places = [*sorted(root.glob("versions/*/bin/python3")), Path("/usr/bin/python3")]
    found = {}
    for place in places:
        if os.access(place, os.X_OK):
            found.setdefault(version_of(str(place)), str(place))
    return found


def usual():
    """The interpreters to measure, as paths: one of each of two versions, else all."""
    found = installed()
    usual = [next((found[full] for full in found if full.startswith(minor + ".")), None) for minor in DEFAULT]
    return list(filter(None, usual)) or list(found.values())


def prepare(path, packages, scratch):
    """An interpreter with `packages`, in a venv below `scratch` that is kept."""
    version = version_of(path)
    if not packages:
        return Interpreter(version, path)
    venv = scratch / ("venv-" + version)
    ready = Interpreter(version, str(venv / "bin/python"))
    if not Path(ready.python).exists():
        subprocess.run([path, "-m", "venv", str(venv)], check=True)
    missing = [package for package in packages if ready.package_version(package) is None]
    if missing:
        pip = [ready.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *missing], check=True)
    return ready
