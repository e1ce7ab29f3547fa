"""How a file is written: encodings, delimiters, and files that are no CSV."""

from __future__ import annotations

import codecs
import io
import json
import random
import tracemalloc
import zipfile
from contextlib import nullcontext

import pytest

from labelling.csv_io import json_lists
from labelling.csv_io.columns import read_header
from labelling.csv_io.conversion import convert
from labelling.csv_io.formats import (
    BOMS,
    ENCODINGS,
    SAMPLE_BYTES,
    NotCsv,
    detect,
    is_damaged,
    open_text,
    printable,
)
from labelling.csv_io.stored import together

FRENCH = ["Où est ma carte bancaire ?", "Elle a été volée à l’hôtel", "Pourquoi ces frais ont-ils été prélevés ?"]
RUSSIAN = [
    "Где моя новая карта?",
    "Я потерял карту, помогите",
    "Почему списали комиссию за перевод?",
    "Деньги не пришли",
]
JAPANESE = [
    "新しいカードはどこですか？",
    "なぜ手数料が引かれたのですか？",
    "口座にログインできません",
    "お金がまだ届きません",
]

SAMPLES = {
    "French": ("cp1252", FRENCH),
    "German": ("cp1252", ["Können Sie mir die Gebühren erklären?", "Ich möchte mein Konto schließen", "Wie spät?"]),
    "Spanish": ("cp1252", ["¿Dónde está mi tarjeta nueva?", "¿Cómo añado dinero?", "¿Por qué esta comisión?"]),
    "Portuguese": ("cp1252", ["Não consigo fazer a transferência", "Onde está o cartão?", "Preciso de atenção"]),
    "Italian": ("cp1252", ["Dov’è la carta?", "Perché è stata addebitata?", "Non riesco più ad accedere, così no"]),
    "Danish": ("cp1252", ["Hvor er mit nye kort på vej hen?", "Hvordan ændrer jeg koden?", "Kortet blev stjålet, hør"]),
    "Swedish": ("cp1252", ["Var är mitt nya kort?", "Varför togs en avgift ut för överföringen?", "På hotellet"]),
    "English": ("cp1252", ["It cost me 5 € instead of £4", "I can’t log in – why?", "The café’s “pending” payment…"]),
    "English, money": ("cp1252", ["It cost 5 € instead of £4", "I can’t log in – why?", "“Pending” for £9…"]),
    "Polish": (
        "cp1250",
        ["Zażółć gęślą jaźń, proszę", "Nie mogę się zalogować", "Dlaczego pobrano opłatę za przelew?"],
    ),
    "Czech": (
        "cp1250",
        ["Kde je moje nová karta?", "Nemohu se přihlásit ke svému účtu", "Proč mi byl účtován poplatek?"],
    ),
    "Hungarian": ("cp1250", ["Hol van az új kártyám?", "Miért vontak le díjat?", "Köszönöm", "Ellopták, őszintén"]),
    "Russian": ("cp1251", RUSSIAN),
    "Russian, KOI8": ("koi8_r", RUSSIAN),
    "Greek": ("cp1253", ["Πού είναι η νέα μου κάρτα;", "Έχασα την κάρτα μου", "Γιατί με χρεώσατε προμήθεια;"]),
    "Turkish": ("cp1254", ["Kartımı kaybettim, lütfen yardım edin", "Şifremi nasıl değiştirebilirim?", "Çok acil"]),
    "Lithuanian": (
        "cp1257",
        ["Kur yra mano naujoji kortelė?", "Kaip pakeisti slaptažodį?", "Pamečiau kortelę, šiandien"],
    ),
    "Latvian": (
        "cp1257",
        ["Kā mainīt manas kartes kodu?", "Kāpēc tika ieturēta maksa par pārskaitījumu?", "Lūdzu, šodien"],
    ),
    "Japanese": ("shift_jis", JAPANESE),
    "Japanese, EUC": ("euc_jp", JAPANESE),
    "Korean": ("euc_kr", ["새 카드는 어디에 있나요?", "왜 수수료가 빠져나갔나요?", "계좌에 로그인할 수 없습니다"]),
    "Chinese": ("gb18030", ["我的新卡在哪里？", "为什么要收手续费？", "我无法登录我的账户", "钱还没有到账"]),
    "Chinese, Big5": ("big5", ["我的新卡在哪裡？", "為什麼要收手續費？", "我無法登入我的帳戶", "錢還沒有到帳"]),
}
PROSE = "We study the effect of interest on the balance of the account and show that deposits grow. " * 14


def csv_text(texts: list[str], end: str = "\r\n") -> str:
    return f"text,label{end}" + "".join(f'"{text}",card{end}' for text in texts)


def encoding_of(data: bytes) -> str:
    return detect(io.BytesIO(data)).encoding


def recognised(content: str, encoding: str) -> bool:
    """Whether the guess reads the file as it was written; cousins may agree on every character."""
    data = content.encode(encoding)
    return data.decode(encoding_of(data), errors="replace") == content


def test_there_is_a_sample_of_every_encoding():
    assert {encoding for encoding, _ in SAMPLES.values()} | {"utf-8", "utf-16"} == set(ENCODINGS)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("language", SAMPLES)
def test_a_language_is_read_in_its_own_encoding(language, end):
    encoding, texts = SAMPLES[language]
    assert recognised(csv_text(texts * 5, end), encoding)


@pytest.mark.parametrize("language", SAMPLES)
def test_the_letters_that_tell_may_come_late_in_long_texts(language):
    encoding, texts = SAMPLES[language]
    assert recognised(csv_text([PROSE] * 50 + [PROSE + text + PROSE for text in texts * 5]), encoding)


@pytest.mark.parametrize("text", ["It cost £5", "El Niño", "São Paulo", "50 °C", "café", "I can’t", "Ä", "“now” – 5 €"])
def test_one_character_in_an_english_file_is_read_right(text):
    assert recognised(csv_text(["where is my card"] * 50 + [text]), "cp1252")


@pytest.mark.parametrize("language", SAMPLES)
def test_texts_of_many_hundred_words_are_read_too(language):
    encoding, texts = SAMPLES[language]
    assert recognised(csv_text([" ".join(texts * 40)] * 5), encoding)


@pytest.mark.parametrize("language", SAMPLES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_is_recognised_with_and_without_a_byte_order_mark(encoding, language):
    assert encoding_of(csv_text(SAMPLES[language][1]).encode(encoding)) == encoding


@pytest.mark.parametrize("bom", BOMS)
def test_a_byte_order_mark_is_no_part_of_the_first_name(bom):
    encoding = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}.get(bom, "utf-8")
    data = bom + csv_text(FRENCH).encode(encoding)
    assert open_text(io.BytesIO(data), encoding_of(data)).read() == csv_text(FRENCH)


def test_choosing_plain_utf8_for_a_file_with_a_mark_reads_the_same():
    assert open_text(io.BytesIO(csv_text(FRENCH).encode("utf-8-sig")), "utf-8").read() == csv_text(FRENCH)


def test_ascii_is_utf8():
    assert encoding_of(csv_text(["plain"]).encode()) == "utf-8"


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_the_whole_file_is_looked_at(encoding):
    content = csv_text(["plain words"] * SAMPLE_BYTES + FRENCH)
    assert encoding_of(content.encode(encoding)) == encoding


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("n_good", [1, 9, 100])
def test_a_broken_byte_does_not_turn_utf8_into_something_else(n_good, end):
    data = csv_text(["été"] * n_good, end).encode() + b"caf\xe9,card" + end.encode()
    assert encoding_of(data) == "utf-8"


def test_a_few_nuls_do_not_make_it_utf16():
    assert encoding_of(b"text,label\n" + b"where is my card,card\n" * 5 + b"n\0l,x\n") == "utf-8"


def test_undecodable_bytes_are_marked_and_kept():
    text = open_text(io.BytesIO(b"caf\xe9"), "utf-8").read()
    assert is_damaged(text, "utf-8")
    assert text.encode(errors="surrogateescape") == b"caf\xe9"
    assert printable(text) == "caf\ufffd"


def test_a_replacement_character_is_damage_only_in_utf16():
    assert is_damaged("\ufffd", "utf-16-le")
    assert not is_damaged("\ufffd", "utf-8"), "scraped texts do hold it"
    assert not is_damaged("naïve 🦊", "utf-8")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("content", [b"a,b\nc,d\n", "é,ü\nж,字\n".encode(), bytes(range(255, 0, -1)), b"\xfe\xff\x00"])
def test_whatever_encoding_is_chosen_the_file_is_read_or_refused(content, encoding):
    is_refused = encoding == "utf-16" and not content.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE))
    with pytest.raises(NotCsv, match="Choose another encoding") if is_refused else nullcontext():
        assert open_text(io.BytesIO(content), encoding).read()


def test_half_a_character_at_the_end_of_utf16_is_damage():
    text = open_text(io.BytesIO("été".encode("utf-16")[:-1]), "utf-16").read()
    assert is_damaged(text, "utf-16")


def test_an_unknown_encoding_is_named():
    with pytest.raises(NotCsv, match="klingon"):
        open_text(io.BytesIO(b"a"), "klingon")


@pytest.mark.parametrize(
    ("head", "delimiter"),
    [
        ("text,label", ","),
        ("text;label", ";"),
        ("text\tlabel", "\t"),
        ("text|label", "|"),
        ("text^label", "^"),
        ("text~label", "~"),
        ("text\x1flabel\x1fid", "\x1f"),
        ("~ text,label", ","),
        ("text", ""),
        ('"text"\nhello; you', ""),
        ('"a,b,c";label', ";"),
        ('"a;b;c","label;"', ","),
        ('"text\nof the, message";label;id', ";"),
        ('"a ""quoted"", name";label', ";"),
        ("text, as written;label;id", ";"),
        ("\n\n  \ntext;label", ";"),
    ],
)
def test_the_delimiter_is_the_most_frequent_outside_quotes(head, delimiter):
    assert detect(io.BytesIO(f"{head}\n1,2;3|4\t5,,,\n".encode())).delimiter == delimiter


@pytest.mark.parametrize("data", [b"", b"\n\r\n  \t", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff\x00\n", b"\0" * 99])
def test_an_empty_file_is_called_empty(data):
    with pytest.raises(NotCsv, match="empty"):
        detect(io.BytesIO(data))


def workbook() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("xl/worksheets/sheet1.xml", "<worksheet/>")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (workbook(), "Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500, "old Excel"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "PNG"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG"),
        (b"GIF89a", "GIF"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"SQLite format 3\0", "SQLite"),
        (random.Random(1).randbytes(5_000), "binary"),
        (b"RIFF\0\0\0\0WAVE" + bytes(byte for n in range(3_000) for byte in (n % 31, 0)), "binary"),
        (b"<!doctype html><html>", "HTML"),
        (b"\xef\xbb\xbf <?xml version='1.0'?>", "XML"),
        (b'version: "3.1"\nnlu:\n- intent: late\n  examples: |\n    - where is it\n', "YAML"),
        (b"# notes\n---\n\nitems:\r\n  - text: a\r\n", "YAML"),
        (b'{"text": "hello"}\n{"text": "you"}\n', "JSON"),
        (b'{\r\n  "text": "hello"\r\n}', "JSON"),
        (b'[{"text": "hello"}]', "JSON"),
        (b'[\r\n  {"text": "hello"}]', "JSON"),
        (b'[["text", "label"]]', "JSON"),
        ('{ "text": "été"}'.encode("utf-16"), "JSON"),
    ],
)
def test_a_file_of_another_kind_is_called_by_its_kind(data, reason):
    with pytest.raises(NotCsv, match=reason):
        detect(io.BytesIO(data))


@pytest.mark.parametrize("text", ["Re: late\n- not open\n", "text:\n- a, b\n", "text\nOpen: when?\n"])
def test_texts_with_colons_and_dashes_are_no_yaml(text):
    assert detect(io.BytesIO(text.encode())).encoding == "utf-8"


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_never_taken_for_text(seed):
    with pytest.raises(NotCsv):
        detect(io.BytesIO(random.Random(seed).randbytes(2_000)))


WIDE = ",".join(f"{n % 10}" for n in range(400_000))


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([f"{WIDE}\n{WIDE}\n".encode()], "The file has 400,000 columns; at most 1,000 are allowed."),
        ([b"text," * 500_000], "A line of this file has more than 2,000,000 characters"),
        ([b"x" * 2**20] * 30, "A line of this file has more than 2,000,000 characters"),
        ([b"text,label\na,b\n", *[b"x" * 2**20] * 30], "A line of this file has more than 2,000,000 characters"),
    ],
)
def test_what_is_no_table_is_refused_in_bounded_memory(tmp_path, pieces, reason):
    with (tmp_path / "texts.csv").open("w+b") as file:
        file.writelines(pieces)
        tracemalloc.start()
        with pytest.raises(NotCsv, match=reason):
            read_header(file, detect(file))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 80 * 2**20


def test_json_with_too_many_names_is_refused():
    lines = b"".join(json.dumps({f"name {n}": 1}).encode() + b"\n" for n in range(1_001))
    with pytest.raises(NotCsv, match="1,001 columns"):
        convert(io.BytesIO(lines), io.BytesIO())


def test_json_that_is_nested_too_deeply_is_no_json():
    with pytest.raises(NotCsv, match="can't be read"):
        convert(io.BytesIO(b'[{"a":' * 100_000), io.BytesIO())


@pytest.mark.parametrize("block", [1, 2, 3, 7, 2**18])
def test_json_lists_are_read_value_by_value_wherever_a_block_ends(monkeypatch, block):
    monkeypatch.setattr(json_lists, "BLOCK_CHARS", block)

    def read(text: str) -> list[object]:
        return list(json_lists.values(io.BytesIO(text.encode())))

    for values in ([], [{"a": 1.5, "b": '"]é,[{'}, 'x"y', {"c": [1, {"d": None}]}], [{"n": 10**30}]):
        written = json.dumps(values, indent=2, ensure_ascii=False)
        for text in (json.dumps(values), written, f"\ufeff \n{written}\n "):
            assert read(text) == values
    for end in ('} {"b": 2}]', "},]", "}", "}][", "}] x", '}[{"b": 2}]]', ""):
        with pytest.raises(ValueError, match=r"value \d does not end"):
            read(f'[{{"a": 1{end}')
    with pytest.raises(ValueError, match="value 1 does not end"):
        read('[,{"a": 1}]')


@pytest.mark.parametrize("n", [0, 1, 7])
def test_what_shares_a_key_comes_together_in_the_order_of_the_first(n):
    items = [([str(number % 3), "\ud800"], {"n": number, "none": None}) for number in range(n)]
    groups = [[value["n"] for value in values] for values in together(items)]
    assert groups == [group for group in ([*range(first, n, 3)] for first in range(3)) if group]
