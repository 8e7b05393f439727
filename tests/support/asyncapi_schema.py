"""AsyncAPI's published JSON schema, from the npm package `@asyncapi/specs`: plain JSON, so it takes no node.

It is fetched once, checked against the hash that npm publishes for it, and kept in `build/`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

VERSION = "6.11.1"
ADDRESS = f"https://registry.npmjs.org/@asyncapi/specs/-/specs-{VERSION}.tgz"
SHA512 = "A3WBLqAKGoJ2+6FWFtpjBlCQ1oFCcs4GxF7zsIGvNqp/klGUHjlA3aAcZ9XMMpLGE8zPeYDz2x9FmO6DSuKraQ=="
PACKAGE_BYTES_MAX = 4_000_000
KEPT_FILE = Path(__file__).resolve().parents[2] / "build" / f"asyncapi-specs-{VERSION}.tgz"


def published_schema(version: str) -> dict[str, Any]:
    """JSON schema (draft 7) of documents of this version of AsyncAPI; OSError if it cannot be had."""
    if not KEPT_FILE.exists() or not _is_right(KEPT_FILE.read_bytes()):
        with urllib.request.urlopen(ADDRESS, timeout=30) as answer:
            raw = answer.read(PACKAGE_BYTES_MAX)
        if not _is_right(raw):
            raise OSError(f"{ADDRESS}: not the package that was looked at (its SHA-512 is another)")
        KEPT_FILE.parent.mkdir(exist_ok=True)
        KEPT_FILE.write_bytes(raw)
    with tarfile.open(fileobj=io.BytesIO(KEPT_FILE.read_bytes())) as package:
        member = package.extractfile(f"package/schemas/{version}-without-$id.json")
        assert member is not None
        schema: dict[str, Any] = json.load(member)
    return schema


def _is_right(raw: bytes) -> bool:
    return hashlib.sha512(raw).digest() == base64.b64decode(SHA512)
