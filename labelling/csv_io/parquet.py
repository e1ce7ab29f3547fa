"""Parquet files to lines that are kept, in a process of its own: pyarrow loads numpy, which the web process never does.

Usage: python -m labelling.csv_io.parquet FILE
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from labelling.csv_io.stored import Numbered, stored_lines

MISSING = 3


class NotParquet(Exception):
    """The file can't be read; the message of pyarrow says why."""


class NoPyarrow(Exception):
    """The library that reads these files is not installed."""


def convert(source: BinaryIO, target: BinaryIO) -> None:
    """Write the lines to keep of a Parquet file.

    Raises:
        NoPyarrow: when it is not installed.
        NotParquet: when the file is damaged.
    """
    source.seek(0)
    with tempfile.NamedTemporaryFile(suffix=".parquet") as copy:
        copy.writelines(iter(lambda: source.read(2**20), b""))
        copy.flush()
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", __name__, copy.name], stdout=target, stderr=subprocess.PIPE, text=True, check=False
        )
    if done.returncode == MISSING:
        raise NoPyarrow
    if done.returncode:
        raise NotParquet((done.stderr.strip() or "?").splitlines()[-1])


def _rows(path: str) -> Iterator[Numbered]:
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    yield 0, file.schema_arrow.names
    number = 0
    for batch in file.iter_batches():
        columns = [column.to_pylist() for column in batch.columns]
        for cells in zip(*columns, strict=True):
            number += 1
            yield number, cells


def _main(path: str) -> None:
    try:
        sys.stdout.writelines(stored_lines(_rows(path)))
    except ImportError:
        sys.exit(MISSING)


if __name__ == "__main__":
    _main(sys.argv[1])
