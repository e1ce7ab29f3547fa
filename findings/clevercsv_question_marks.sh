#!/bin/sh
# A list of questions, one a line, is a table whose columns are separated by question marks: so says clevercsv, the library for
# messy CSV files, of a file without any delimiter. A labelling tool that trusts it drops the question mark of every text and
# adds an empty column. So labelling/csv_io/dialects.py reads a file as one text a line unless a width fits most of its records.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet clevercsv==0.8.5
"$folder/venv/bin/python" - <<'PYTHON'
import clevercsv

questions = "How do I get a new card?\nWhere is my parcel?\nCan I pay in two parts?\nWhy was I charged twice?\nWhen do you open?\n"
delimiter = clevercsv.Sniffer().sniff(questions).delimiter
rows = list(clevercsv.reader(questions.splitlines(), delimiter=delimiter))
print(f"clevercsv {clevercsv.__version__}: delimiter {delimiter!r}, first row {rows[0]}")
assert clevercsv.__version__ == "0.8.5"
assert delimiter == "?", "the behaviour has changed"
assert rows[0] == ["How do I get a new card", ""], "the behaviour has changed"
PYTHON
