"""The files of the Python interpreter on this machine, which are all that a contained program can read."""

import subprocess
import sys
import sysconfig
from functools import lru_cache
from pathlib import Path

# Runs in a new interpreter: loads every compiled module of the standard library except tkinter, and lists the shared
# libraries that they load, by the names that the loader looks for. libgcc_s is loaded when a thread ends.
_LIST_LIBRARIES = """
import ctypes, importlib, pkgutil, sys
for folder in [entry for entry in sys.path if entry.endswith("lib-dynload")]:
    for module in pkgutil.iter_modules([folder]):
        if "test" not in module.name and module.name != "_tkinter":
            try:
                importlib.import_module(module.name)
            except ImportError:
                pass
try:
    ctypes.CDLL("libgcc_s.so.1")
except OSError:
    pass
class Object(ctypes.Structure):
    _fields_ = [("address", ctypes.c_void_p), ("name", ctypes.c_char_p)]
@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Object), ctypes.c_size_t, ctypes.c_void_p)
def tell(found, size, data):
    print((found.contents.name or b"").decode("utf-8", "surrogateescape"))
    return 0
ctypes.CDLL(None).dl_iterate_phdr(tell, None)
"""


def interpreter() -> Path:
    """The file of the interpreter. A virtual environment only links to it."""
    return Path(sys.executable).resolve()


@lru_cache(maxsize=1)
def interpreter_files() -> tuple[Path, ...]:
    """The interpreter, the folders of its standard library, and the shared libraries outside them, parents first."""
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix, "installed_base": sys.base_prefix}
    folders = {Path(sysconfig.get_path(name, vars=base)) for name in ("stdlib", "platstdlib")}
    listed = subprocess.run(
        [interpreter(), "-I", "-S", "-c", _LIST_LIBRARIES], capture_output=True, text=True, check=True
    )
    libraries = {_plain(Path(line)) for line in listed.stdout.splitlines() if line.startswith("/")}
    files = {path for path in libraries if not any(path.is_relative_to(folder) for folder in folders)}
    # The cache tells the loader about libraries outside its usual folders.
    files |= {path for path in (Path("/etc/ld.so.cache"),) if path.exists()}
    return tuple(sorted({*folders, *files, interpreter()}))


def foreign_folders() -> list[Path]:
    """Folders with installed packages inside the standard library, which are hidden."""
    names = ("site-packages", "dist-packages")
    return [path for folder in interpreter_files() for name in names if (path := folder / name).is_dir()]


def _plain(path: Path) -> Path:
    """The path without `..` and without links in its folder, but with the name that the loader looks for."""
    return path.parent.resolve() / path.name if ".." in path.parts else path
