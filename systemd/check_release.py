"""Refuses a package with a test's key or a debugger's hook in it.

    check_release.py FOLDER      the tree the package is made of

One line for each fault, on standard error; exit status 1 if there are any. `build-deb` asks before it writes a package.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import ast
import base64
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

VECTORS = Path(__file__).resolve().parents[1] / "tests" / "vectors"
KEY_BYTES = 32

DOCUMENTS = {".md"}
"""PROTOCOL.md shows the vectors, for others to check themselves by; nothing reads a key from there."""

DEBUGGERS = {"pdb", "bdb", "debugpy", "pydevd", "IPython", "ipdb", "code", "cProfile", "trace"}
HOOKS = {"breakpoint", "settrace", "setprofile", "set_trace"}

TEST_ONLY = {"tests", "conftest.py", "_pytest", "pytest", "hypothesis", "coverage", "mypy"}
RUN_AT_START = re.compile(r"(sitecustomize|usercustomize)\.py|.*\.pth")
"""What Python runs or reads before any program of its."""

PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}")


def test_keys(folder: Path = VECTORS) -> dict[bytes, str]:
    """Seed or public key of every pair in the vectors → what it is, in words."""
    found: dict[bytes, str] = {}
    for path in sorted(folder.glob("*.json")):
        for pair in _pairs(json.loads(path.read_text())):
            for kind in ("seed_hex", "public_hex"):
                if len(key := bytes.fromhex(str(pair[kind]))) == KEY_BYTES:
                    found[key] = f"{kind.removesuffix('_hex')} of {path.name}"
    return found


def _pairs(node: object) -> Iterator[Mapping[str, object]]:
    """Every object, however deep, that has both halves of a key."""
    if isinstance(node, dict):
        if "seed_hex" in node and "public_hex" in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _pairs(each)


def spellings(key: bytes) -> Iterator[bytes]:
    """Ways a key stands in a file; of base64 what does not depend on its padding."""
    yield key
    yield key.hex().encode()
    yield key.hex().upper().encode()
    yield from {base64.b64encode(key)[:42], base64.urlsafe_b64encode(key)[:42]}


def hooks(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of whatever lets somebody stop the program and look into it."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, each.name) for each in names if each.name.split(".")[0] in DEBUGGERS)
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in DEBUGGERS:
                yield node.lineno, module
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in HOOKS:
                yield node.lineno, name


def is_ours(where: Path) -> bool:
    """Not a library's: one has the bytes 0 to 31 in a row as a table, which are a test's key too."""
    return "site-packages" not in where.parts or "agent" in where.parts


def faults(package: Path) -> Iterator[str]:
    """What must not be in the package, each with its file."""
    keys = [(spelling, what) for key, what in test_keys().items() for spelling in spellings(key)]
    for path in sorted(package.rglob("*")):
        where = path.relative_to(package)
        if path.is_symlink():
            continue
        if path.is_dir():
            # A library's own folder of tests is dead weight and not ours; beside the libraries it would be imported.
            if path.name in TEST_ONLY and path.parent.name in ("site-packages", "agent"):
                yield f"{where}: is for tests alone; leave it out of the wheel"
            continue
        if RUN_AT_START.fullmatch(path.name) or (path.name in TEST_ONLY and is_ours(where)):
            yield f"{where}: would run unasked, or is for tests alone; leave it out of the wheel"
        content = path.read_bytes()
        if PRIVATE_KEY.search(content):
            yield f"{where}: has a private key; keys are made on the car, by carshare-agent provision"
        if is_ours(where) and path.suffix not in DOCUMENTS:
            yield from (f"{where}: has a test's key, {what}" for spelling, what in keys if spelling in content)
        if is_ours(where) and path.suffix == ".py":
            yield from (f"{where}:{line}: has a debugger's hook, {name}" for line, name in hooks(content.decode()))


def main() -> int:
    package = Path(sys.argv[1])
    found = list(faults(package))
    for fault in found:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
