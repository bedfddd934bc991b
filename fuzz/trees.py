"""Files as trees: JSON, TOML, and the table of contents of safetensors files."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import tomli_w

from fuzz.target import Tree


def _safetensors(data: bytes) -> Any:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    about = header.get("__metadata__", {})
    inner = {key: json.loads(value) for key, value in about.items()}
    return {"header": {**header, "__metadata__": inner}, "bytes": data[8 + length :].decode("latin1")}


def _to_safetensors(whole: Any) -> bytes:
    header = dict(whole["header"])
    about = header.get("__metadata__")
    if isinstance(about, dict):
        header["__metadata__"] = {key: json.dumps(value) for key, value in about.items()}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + whole["bytes"].encode("latin1")


JSON = Tree(json.loads, lambda whole: json.dumps(whole).encode())
TOML = Tree(lambda data: tomllib.loads(data.decode()), lambda whole: tomli_w.dumps(whole).encode())
SAFETENSORS = Tree(_safetensors, _to_safetensors)
