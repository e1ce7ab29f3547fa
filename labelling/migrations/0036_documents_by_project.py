from __future__ import annotations

from django.db import migrations

import labelling.models.documents


class Migration(migrations.Migration):
    dependencies = [("labelling", "0035_adaptation")]

    operations = [
        migrations.RemoveIndex(model_name="document", name="documents_of_a_project"),
        migrations.AddIndex(
            model_name="document",
            index=labelling.models.documents.ByProject(fields=["project", "id"], name="documents_of_a_project"),
        ),
    ]
