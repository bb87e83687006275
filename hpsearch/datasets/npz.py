"""Any data set in one NumPy archive."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.errors import DataError, fault


def load(path: str) -> dict[str, Any]:
    """Arrays of a NumPy archive: `x` and `y`, or `x_train`, `y_train`, `x_test`, `y_test`.

    Further keys are understood too: `x_validation`, `y_validation`, `sample_weight` (or
    `sample_weight_train`, ...), `class_names`. Arrays are taken as they are.

    Args:
        path: The `.npz` file. A relative path starts at the working folder.

    Raises:
        DataError: The file is missing, is no archive, or holds Python objects.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(
            fault(
                "data.options.path",
                "the file does not exist",
                expected="an .npz file",
                received=str(file.absolute()),
            )
        )
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as failure:
        raise DataError(
            fault(str(file), "cannot be read as a NumPy archive of plain arrays", received=str(failure))
        ) from failure
