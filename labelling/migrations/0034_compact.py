"""What is predicted of a document takes fewer bytes: 32-bit floats beside label ids, as in labelling.models.compact.

The new columns are filled from the old ones, some thousand rows at a time, before these go.
"""

import struct

from django.db import migrations, models

CHUNK = 5_000
FIELDS = ("candidates", "belief", "path")
NEW = tuple(f"{name}_compact" for name in FIELDS)


def pack(candidates, belief, path):
    def pairs(value):
        labels, probabilities = [label_id for label_id, _ in value], [p for _, p in value]
        return struct.pack(f"<{len(value)}I{len(value)}f", *labels, *probabilities)

    return pairs(candidates), struct.pack(f"<{len(belief)}f", *belief), pairs(path)


def unpack(candidates, belief, path):
    def pairs(stored):
        n = len(stored) // 8
        found = struct.unpack(f"<{n}I{n}f", stored)
        return [[label_id, round(p, 6)] for label_id, p in zip(found[:n], found[n:])]

    return pairs(candidates), [round(p, 6) for p in struct.unpack(f"<{len(belief) // 4}f", belief)], pairs(path)


def rewrite(source, change, target):
    """Fill columns from others, whose values are changed."""

    def run(apps, schema_editor):
        prediction, connection = apps.get_model("labelling", "Prediction"), schema_editor.connection
        into = [prediction._meta.get_field(name) for name in target]
        places = ", ".join(f"{column.column} = %s" for column in into)
        statement = f"UPDATE {prediction._meta.db_table} SET {places} WHERE id = %s"  # noqa: S608
        rows, last = prediction.objects.order_by("pk").values_list("pk", *source), 0
        while chunk := list(rows.filter(pk__gt=last)[:CHUNK]):
            changed = [
                [*(column.get_db_prep_save(value, connection) for column, value in zip(into, change(*values))), pk]
                for pk, *values in chunk
            ]
            with connection.cursor() as cursor:
                cursor.executemany(statement, changed)
            last = chunk[-1][0]

    return run


class Migration(migrations.Migration):
    dependencies = [("labelling", "0033_proposals")]

    operations = [
        # On the way back the old column is empty before it is filled.
        migrations.AlterField("prediction", "candidates", models.JSONField(default=list)),
        *(migrations.AddField("prediction", name, models.BinaryField(default=bytes)) for name in NEW),
        migrations.RunPython(rewrite(FIELDS, pack, NEW), rewrite(NEW, unpack, FIELDS)),
        *(migrations.RemoveField("prediction", name) for name in FIELDS),
        *(migrations.RenameField("prediction", f"{name}_compact", name) for name in FIELDS),
        migrations.AlterField(
            "prediction",
            "round",
            models.ForeignKey(
                help_text="In which it became what it is; later ones found the same.",
                on_delete=models.deletion.CASCADE,
                related_name="predictions",
                to="labelling.round",
            ),
        ),
    ]
