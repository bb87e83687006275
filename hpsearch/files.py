"""Files that appear whole: written beside their place, flushed to the disk, then renamed.

A reader, or a run that continues after a power cut, sees the old file or the new one, never a half.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a path beside `target` to write to; it takes the target's place when the block succeeds.

    The temporary name is hidden, unique to the process, and keeps the suffixes, because Keras and
    Matplotlib choose a format by them. Folders that are missing are made.

    Example:
        >>> with whole(folder / "model.keras") as path:
        ...     model.save(path)

    Raises:
        OSError: The folder cannot be written. The target is then what it was, and nothing is left over.
    """
    final = Path(target)
    final.parent.mkdir(parents=True, exist_ok=True)
    beside = final.with_name(f".{os.getpid()}.partial.{final.name}")
    try:
        yield beside
        _flush(beside)
        os.replace(beside, final)
    except BaseException:
        with suppress(FileNotFoundError):
            beside.unlink()
        raise
    _flush(final.parent)


def write_text(target: str | os.PathLike[str], text: str) -> None:
    """Writes `text` as UTF-8; the file appears whole."""
    with whole(target) as path:
        path.write_text(text, encoding="utf-8")


def write_bytes(target: str | os.PathLike[str], content: bytes) -> None:
    """Writes `content`; the file appears whole."""
    with whole(target) as path:
        path.write_bytes(content)


def _flush(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some network file systems refuse to flush a folder
            raise
    finally:
        os.close(descriptor)
