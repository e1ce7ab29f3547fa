from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("labelling", "0030_round_shares"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="document",
            index=models.Index(condition=models.Q(("holdout", True)), fields=["project"], name="documents_held_out"),
        ),
        migrations.AddIndex(
            model_name="query",
            index=models.Index(fields=["round", "rank", "id"], name="queries_by_rank"),
        ),
    ]
