"""Files in: upload, choose the columns, check, write."""

from labelling.services.imports.running import run, try_out
from labelling.services.imports.starting import answer, answer_here, keep_good_rows, retry, start, start_here
from labelling.services.imports.uploading import Recommendation, format_of, look_at, upload

__all__ = [
    "Recommendation",
    "answer",
    "answer_here",
    "format_of",
    "keep_good_rows",
    "look_at",
    "retry",
    "run",
    "start",
    "start_here",
    "try_out",
    "upload",
]
