"""Predictions from the command line: a line of JSON for each row.

python predict.py                    what the model takes
python predict.py rows.npy           an array; .npz: an array for each input
python predict.py rows.csv           a header and rows; .json: as the service reads it
python predict.py picture.jpg        with Pillow, where the input is a picture; several at once
python predict.py --text "Free entry" a text, where the model reads text
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import payload
from .inputs import TEXT, InputError, kind, names, shape_of, wrong
from .model import Model

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


def main(folder: str | Path, arguments: Sequence[str] | None = None) -> int:
    """Predicts what the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help=".npy, .npz, .csv, .json or pictures")
    parser.add_argument("--text", action="append", default=[], help="a text to predict; can be repeated")
    parser.add_argument("--classes", action="store_true", help="print the classes only")
    options = parser.parse_args(arguments)
    try:
        model = Model.load(folder)
        if not options.files and not options.text:
            print(json.dumps(signature(model.description), indent=2))
            return 0
        given = {TEXT: options.text} if options.text else read(options.files, model.description)
        outputs = model.predict(given)
        for line in lines(model, outputs, only_classes=options.classes):
            print(json.dumps(line, ensure_ascii=False))
        sys.stdout.flush()
    except BrokenPipeError:  # `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (InputError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def signature(description: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the model takes and gives, for people."""
    takes = kind(description)
    if takes == "tensors":
        inputs: Any = {each["name"]: shape_of(each) for each in description["inputs"]}
    elif takes == "text":
        inputs = {TEXT: "a text a row"}
    else:
        columns = description["columns"]
        inputs = {each["name"]: "a number, or null" for each in columns["numbers"]}
        inputs |= {each["name"]: "a text, or null" for each in (*columns["categories"], *columns["texts"])}
    outputs = {each["name"]: shape_of(each) for each in description["outputs"]}
    return {"inputs": inputs, "outputs": outputs, "classes": description["class_names"]}


def read(files: Sequence[str], description: Mapping[str, Any]) -> dict[str, Any]:
    """Reads rows from files; several must be pictures, each of which is a row.

    Raises:
        InputError: A file is none of these, or does not fit the model.
        OSError: A file cannot be read.
    """
    endings = {Path(file).suffix.lower() for file in files}
    if endings <= set(PICTURES):
        return _pictures(files, description)
    if len(files) > 1:
        raise wrong(files[1], "one file at a time, unless all are pictures")
    (file,), (ending,) = files, endings
    if ending in (".npy", ".npz"):
        return _arrays(file, description)
    body = Path(file).read_bytes()
    if ending == ".json":
        return payload.from_json(body, description)
    if ending == ".csv":
        return payload.from_csv(body, description)
    raise wrong(file, "unknown kind of file", expected=f".npy, .npz, .csv, .json, {', '.join(PICTURES)}")


def lines(model: Model, outputs: Mapping[str, Any], *, only_classes: bool) -> list[dict[str, Any]]:
    """Returns what each row gave: `class`, or `<output>_class` of several outputs, and the outputs."""
    classes = model.classes(dict(outputs))
    found = []
    for row in range(len(next(iter(outputs.values())))):
        line = {f"{name}_class" if len(outputs) > 1 else "class": each[row] for name, each in classes.items()}
        if not only_classes or not classes:
            line |= {name: array[row].tolist() for name, array in outputs.items()}
        found.append(line)
    return found


def _arrays(file: str, description: Mapping[str, Any]) -> dict[str, Any]:
    try:
        loaded = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as failure:
        raise wrong(file, "not an array of NumPy", received=str(failure)[:200]) from failure
    if isinstance(loaded, np.ndarray):
        wanted = names(description)
        if kind(description) == "columns" or len(wanted) > 1:
            raise wrong(file, "one array, but the model has several inputs", expected=f".npz with {wanted}")
        return {wanted[0]: loaded}
    with loaded:
        return {name: loaded[name] for name in loaded.files}


def _pictures(files: Sequence[str], description: Mapping[str, Any]) -> dict[str, Any]:
    """Reads pictures as they were read for training: scaled to the input's size, white as large as there."""
    (tensor, *others) = description["inputs"]
    white = description["white"]
    if others or white is None:
        raise wrong(files[0], "the model's input is no picture", expected=shape_of(tensor))
    try:
        from PIL import Image
    except ImportError:
        raise wrong(files[0], "reading pictures needs Pillow", advice="pip install pillow") from None
    _, height, width, channels = tensor["shape"]
    rows = []
    for file in files:
        with Image.open(file) as opened:
            picture = opened.convert("L" if channels == 1 else "RGB")
        if height and width and picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        rows.append(np.asarray(picture).reshape(picture.height, picture.width, channels))
    if len({row.shape for row in rows}) > 1:
        raise wrong(files[0], "the pictures differ in size", received=", ".join(str(r.shape) for r in rows))
    pixels = np.stack(rows)
    if white != 255:
        pixels = pixels.astype(np.float32) / np.float32(255) * np.float32(white)
    return {tensor["name"]: pixels}
