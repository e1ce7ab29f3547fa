"""The index of a project's documents leaves the key to SQLite, which adds it to every index by itself.

Where it is named nevertheless, SQLite goes through a list of wanted keys once for every document, as soon as another
table is joined. PostgreSQL needs it, to read a project's documents in their order.
"""

from django.db import migrations, models


def on(*columns):
    """Make the index anew on these columns."""

    def run(apps, schema_editor):
        if schema_editor.connection.vendor == "sqlite":
            document = apps.get_model("labelling", "Document")
            index = models.Index(fields=columns, name="documents_of_a_project")
            schema_editor.remove_index(document, index)
            schema_editor.add_index(document, index)

    return run


class Migration(migrations.Migration):
    dependencies = [("labelling", "0035_adaptation")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveIndex("document", "documents_of_a_project"),
                migrations.AddIndex("document", models.Index(fields=["project"], name="documents_of_a_project")),
            ],
            database_operations=[migrations.RunPython(on("project"), on("project", "id"))],
        ),
    ]
