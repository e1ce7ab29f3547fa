"""Whether a file is a CSV file at all, and its encoding."""

from __future__ import annotations

import codecs
import io
import re
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

import charset_normalizer
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.csv_io.dialects import Format, guess_format
from labelling.csv_io.records import MAX_LINE_CHARS, NotCsv

# Encodings that a person can choose; the first that fits is not simply taken, see detect_encoding.
ENCODINGS = [
    "utf-8",
    "utf-16",
    "cp1252",
    "cp1250",
    "cp1251",
    "cp1253",
    "cp1254",
    "cp1257",
    "koi8_r",
    "shift_jis",
    "euc_jp",
    "euc_kr",
    "gb18030",
    "big5",
]
GUESSED = [name for name in ENCODINGS if not name.startswith("utf")]

# These four share so many letters that only the languages tell them apart. By encoding: the letters
# beside a to z that each of its languages is written with.
LATIN_LETTERS = {
    "cp1252": [
        "àâæçèéêëîïôœùûüÿ",  # French
        "äöüß",  # German
        "áéíñóúü",  # Spanish
        "àáâãçéêíóôõú",  # Portuguese
        "àèéìòóù",  # Italian
        "éëïóöü",  # Dutch
        "åæéø",  # Danish, Norwegian
        "åäéö",  # Swedish, Finnish
        "áæéíðóöúýþ",  # Icelandic
    ],
    "cp1250": [
        "ąćęłńóśźż",  # Polish
        "áéíóúýčďěňřšťůž",  # Czech
        "áäéíóôúýčďĺľňŕšťž",  # Slovak
        "áéíóöúüőű",  # Hungarian
        "âîăşţ",  # Romanian
        "čćđšž",  # Croatian, Slovene
    ],
    "cp1254": ["âçîöüğış"],  # Turkish
    "cp1257": [
        "ąčęėįšųūž",  # Lithuanian
        "āčēģīķļņšūž",  # Latvian
        "äõöüšž",  # Estonian
    ],
}

BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

SIGNATURES = {
    b"PK\x03\x04": gettext_lazy("an Excel workbook or another zip file. In the spreadsheet choose “Save as” and CSV"),
    b"\xd0\xcf\x11\xe0": gettext_lazy("an old Excel workbook. In the spreadsheet choose “Save as” and CSV"),
    b"%PDF": gettext_lazy("a PDF document"),
    b"\x89PNG": gettext_lazy("a PNG picture"),
    b"\xff\xd8\xff": gettext_lazy("a JPEG picture"),
    b"GIF8": gettext_lazy("a GIF picture"),
    b"\x1f\x8b": gettext_lazy("a gzip archive. Unpack it first"),
    b"SQLite format 3": gettext_lazy("an SQLite database"),
}

SAMPLE_BYTES = 65_536
# What the layout of the records is guessed from.
SAMPLE_CHARS = 262_144
MAX_LINE_BYTES = 2**20
# Text holds almost no control characters but those between cells; pictures and programs are full of them.
MAX_CONTROL_SHARE = 0.05
CONTROL_CHARACTERS = dict.fromkeys(set(range(32)) - {9, 10, 12, 13, 31})
MARKUP = re.compile(r'\s*(?:<|\{\s*["}]|\[\s*["{\[])')
# Names with nothing or a value behind them, then a list of what has names itself.
YAML = re.compile(r"(?:(?:---|#[^\n]*|[\w-]+:[^\n]*|)\r?\n)*[\w-]+:\s*\r?\n\s*- [\w-]+:")
ASCII_BYTES = bytes(range(128))
# A byte beyond ASCII with no other within two places.
LONE_BYTE = re.compile(rb"(?<![\x80-\xff])(?<![\x80-\xff][\x00-\x7f])[\x80-\xff](?![\x00-\x7f]?[\x80-\xff])")
# What says nothing of the encoding in a sample: the inside of long stretches of ASCII.
PADDING = re.compile(rb"(?<=[\x00-\x7f]{40})[\x00-\x7f]+(?=[\x00-\x7f]{40})")


def detect(file: BinaryIO, encoding: str = "", delimiter: str | None = None) -> Format:
    """Find out how a file is written, as far as that is not given.

    Raises:
        NotCsv: when it is empty or not text.
    """
    file.seek(0)
    head = file.read(SAMPLE_BYTES)
    if not head.strip(b" \t\r\n\xef\xbb\xbf\xff\xfe\x00"):
        raise NotCsv(_("The file is empty."))
    for signature, what in SIGNATURES.items():
        if head.startswith(signature):
            raise NotCsv(_("This is not a CSV file but %(what)s.") % {"what": what})
    guess = detect_encoding(file)
    text = head.decode(guess, errors="replace").lstrip("\ufeff")
    if _control_share(text) > MAX_CONTROL_SHARE:
        raise NotCsv(_("This is not a CSV file: it holds binary data, not text."))
    if markup := "HTML, XML, JSON" if MARKUP.match(text) else "YAML" if YAML.match(text) else "":
        reason = _("This is not a CSV file: it looks like %(what)s. Save it as a table, a row for each text.")
        raise NotCsv(reason % {"what": markup})
    encoding = encoding or guess
    return guess_format(read_sample(file, encoding), encoding, delimiter)


def read_sample(file: BinaryIO, encoding: str) -> str:
    """Return the beginning of a file, whole lines of it: enough for hundreds of records of most files.

    Raises:
        NotCsv: when there is no such encoding, and when a line is too long.
    """
    text = open_text(file, encoding)
    sample = text.read(SAMPLE_CHARS)
    rest = text.readline(MAX_LINE_CHARS) if len(sample) == SAMPLE_CHARS else ""
    text.detach()
    if len(rest) == MAX_LINE_CHARS:
        told = {"limit": f"{MAX_LINE_CHARS:,}"}
        raise NotCsv(_("A line of this file has more than %(limit)s characters: this is no table.") % told)
    return sample + rest


def detect_encoding(file: BinaryIO) -> str:
    """Return the name of the encoding the whole file is most likely written in."""
    file.seek(0)
    head = file.read(SAMPLE_BYTES)
    for bom, name in BOMS.items():
        if head.startswith(bom):
            return name
    if without_bom := _utf16_without_bom(head):
        return without_bom
    damaged, multibyte, sample = _try_utf8(file)
    # Text in another encoding is hardly ever valid UTF-8 by chance: a file of both is UTF-8, and its broken
    # rows are reported. The other way round its good rows would turn into gibberish without a word.
    if damaged <= multibyte:
        return "utf-8"
    return _guess_single_byte(sample)


def open_text(file: BinaryIO, encoding: str) -> io.TextIOWrapper:
    """Open a file for csv: no byte is lost, undecodable ones arrive as marks that ``is_damaged`` finds.

    Raises:
        NotCsv: when there is no such encoding, or the file can't be in it.
    """
    file.seek(0)
    if encoding == "utf-16":
        if file.read(2) not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise NotCsv(_("The file does not begin as UTF-16 does. Choose another encoding."))
        file.seek(0)
    errors = "replace" if encoding.startswith("utf-16") else "surrogateescape"
    # "utf-8" chosen by hand for a file that starts with a byte order mark must not read it as text.
    name = "utf-8-sig" if encoding == "utf-8" else encoding
    try:
        return io.TextIOWrapper(file, encoding=name, errors=errors, newline="")
    except LookupError as error:
        raise NotCsv(_("There is no encoding “%(encoding)s”.") % {"encoding": encoding}) from error


def is_damaged(cell: str, encoding: str) -> bool:
    """Whether a cell holds bytes that its encoding does not know."""
    if encoding.startswith("utf-16"):
        return "\ufffd" in cell
    return not cell.isascii() and any("\ud800" <= character <= "\udfff" for character in cell)


def printable(cell: str) -> str:
    """Return the cell with a replacement character for each byte that its encoding does not know."""
    return cell.encode(errors="surrogateescape").decode(errors="replace")


def _control_share(text: str) -> float:
    return (len(text) - len(text.translate(CONTROL_CHARACTERS))) / (len(text) or 1)


def _utf16_without_bom(head: bytes) -> str | None:
    """UTF-16 has a NUL beside each delimiter, space and line end: on the odd places when little-endian."""
    if _control_share(head.decode("latin-1")) <= MAX_CONTROL_SHARE:
        return None
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > 5 * even:
        return "utf-16-le"
    return "utf-16-be" if even > 5 * odd else None


def _try_utf8(file: BinaryIO) -> tuple[int, int, bytes]:
    """Count the lines that are not UTF-8 and those that prove it, and keep a sample of the former."""
    file.seek(0)
    damaged = multibyte = 0
    sample = bytearray()
    for line in _lines(file):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            damaged += 1
            if len(sample) < SAMPLE_BYTES:
                sample += PADDING.sub(b"", line)[:SAMPLE_BYTES]
        else:
            multibyte += 1
    return damaged, multibyte, bytes(sample)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines that are not ASCII; they may end in a carriage return alone. Very long ones come in parts."""
    while line := file.readline(MAX_LINE_BYTES):
        if not line.isascii():
            yield from (part for part in line.split(b"\r") if not part.isascii())


def _guess_single_byte(sample: bytes) -> str:
    """Ask charset-normalizer for the script, and for Latin letters look at the languages."""
    if not _is_mostly_ascii(sample):
        best = charset_normalizer.from_bytes(sample, cp_isolation=GUESSED).best()
        if best and best.encoding not in LATIN_LETTERS:
            return best.encoding
    return max(LATIN_LETTERS, key=lambda name: _fit(sample, name))


def _is_mostly_ascii(sample: bytes) -> bool:
    """Whether the other characters stand alone, as accents and signs do in Latin text and in no other."""
    return len(LONE_BYTE.findall(sample)) * 2 >= len(sample.translate(None, ASCII_BYTES))


def _fit(sample: bytes, encoding: str) -> float:
    """Share of the letters that one language explains; where encodings tie, the first, cp1252, is the most common."""
    text = sample.decode(encoding, errors="replace").lower()
    letters = Counter(character for character in text if character.isalpha() and not character.isascii())
    explained = max(sum(letters[letter] for letter in language) for language in LATIN_LETTERS[encoding])
    return explained / letters.total() if letters else 1.0
