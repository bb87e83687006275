"""A file as an array of C, for microcontrollers that have no file system."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PER_LINE = 12
NAME = "model_data"
"""Of the two files, before `.cc` and `.h`."""
ON_MICROCONTROLLERS = ("float32", "int8", "int16x8")
"""Formats that LiteRT for Microcontrollers has kernels for."""


def c_array(content: bytes, description: Mapping[str, Any]) -> dict[str, str]:
    """Returns `model_data.cc` and `model_data.h`.

    The array is aligned to 16 bytes, which the interpreter needs: it reads the file in place.

    Args:
        content: Of the file.
        description: What `model.json` holds.
    """
    name = identifier(description["name"])
    rows = (content[start : start + PER_LINE] for start in range(0, len(content), PER_LINE))
    lines = "\n".join(f"    {', '.join(f'0x{byte:02x}' for byte in row)}," for row in rows)
    source = (
        f'#include "{NAME}.h"\n\n'
        f"alignas(16) const unsigned char {name}[] = {{\n{lines}\n}};\n"
        f"const unsigned int {name}_len = {len(content)};\n"
    )
    guard = f"{name.upper()}_H_"
    comment = "\n".join(f"// {line}" for line in _told(description))
    header = (
        f"{comment}\n#ifndef {guard}\n#define {guard}\n\n"
        '#ifdef __cplusplus\nextern "C" {\n#endif\n\n'
        f"extern const unsigned char {name}[];\nextern const unsigned int {name}_len;\n\n"
        f"#ifdef __cplusplus\n}}\n#endif\n\n#endif  // {guard}\n"
    )
    return {f"{NAME}.cc": source, f"{NAME}.h": header}


def identifier(name: str) -> str:
    """Returns the array's name: `digits_mlp_model`."""
    clean = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"{'m' if clean[:1].isdigit() else ''}{clean}_model"


def _told(description: Mapping[str, Any]) -> list[str]:
    told = [f"{description['format']}, {description['size_bytes']} bytes, SHA-256 {description['sha256']}"]
    for kind in ("inputs", "outputs"):
        for each in description[kind]:
            sizes = ", ".join("any" if size is None else str(size) for size in each["shape"])
            line = f"{kind[:-1]} {each['name']}: ({sizes}) {each['dtype']}"
            if stored := each["stored"]:
                line += f", as {stored['dtype']}: {stored['scale']!r} * (integer - {stored['zero_point']})"
            told.append(line)
    told.append(f"operators: {', '.join(description['ops'])}")
    if description["format"] not in ON_MICROCONTROLLERS:
        told.append(f"LiteRT for Microcontrollers does not run {description['format']} files.")
    return [" ".join(line.split()) for line in told]
