"""Files that appear whole: written beside their place, flushed to the disk, then renamed.

A reader, or a run that continues after a power cut, sees the old file or the new one, never a half.
"""

from __future__ import annotations

import hashlib
import os
import shutil
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


@contextmanager
def whole_folder(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a folder beside `target` to fill; it takes the target's place when the block succeeds.

    Unlike a file, a folder that was there before is away for an instant.

    Raises:
        OSError: The folder cannot be written. The target is then what it was, and nothing is left over.
    """
    final = Path(target)
    final.parent.mkdir(parents=True, exist_ok=True)
    beside = final.with_name(f".{os.getpid()}.partial.{final.name}")
    before = final.with_name(f".{os.getpid()}.before.{final.name}")
    try:
        yield beside
        for path in (*beside.rglob("*"), beside):
            _flush(path)
        if final.exists():
            os.replace(final, before)
        os.replace(beside, final)
    except BaseException:
        remove(beside)
        raise
    remove(before)
    _flush(final.parent)


def remove(path: Path) -> None:
    """Removes a file, or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Returns the bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def sha256_of(path: Path) -> str:
    """Returns the digest of a file; of a folder that of its files' names and digests, in their order."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        listed = "".join(f"{file.relative_to(path).as_posix()} {sha256_of(file)}\n" for file in files)
        return hashlib.sha256(listed.encode()).hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
