"""Debian packages of the build that is tested, made by CPack in a folder of the caller's.

    deb = packages.build(folder)                    # as `cmake --build … --target package` makes it
    next_one = packages.build(folder, "0.1.0+1")    # the same under another version, to upgrade to
"""
import os
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
EPOCH = "1700000000"  # the time of every file in the package


def build_folder():
    """Where the build is that ctest runs for."""
    folder = Path(os.environ.get("SECRETS_ENCRYPT_BUILD", TOP / "build" / "release"))
    if not (folder / "CPackConfig.cmake").exists():
        raise FileNotFoundError(f"{folder} is no build folder with a package: build first")
    return folder


def build(folder, version=None):
    """Packs what is built. Nothing is built, and nothing written but to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.glob("*.deb"))
    argv = ["cpack", "-G", "DEB", "--config", str(build_folder() / "CPackConfig.cmake"), "-B", str(folder)]
    argv += ["-D", f"CPACK_PACKAGE_VERSION={version}"] if version else []
    result = subprocess.run(argv, cwd=folder, env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH}, text=True,
                            stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120)
    if result.returncode != 0:
        raise RuntimeError(f"cpack failed: {result.stdout}{result.stderr}")
    made = set(folder.glob("*.deb")) - before
    if len(made) != 1:
        raise RuntimeError(f"cpack made {sorted(made)}: {result.stdout}")
    return made.pop()
