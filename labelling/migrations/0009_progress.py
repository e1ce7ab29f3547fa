import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Count, OuterRef, Subquery


def fill(apps, schema_editor):
    """Let what waits know its round, and rounds how much they laid out: what waits and what is decided on."""
    QueueEntry, Query, Round, Decision = (
        apps.get_model("labelling", name) for name in ("QueueEntry", "Query", "Round", "Decision")
    )
    QueueEntry.objects.update(round=Subquery(Query.objects.filter(pk=OuterRef("query")).values("round")[:1]))
    for round_ in Round.objects.annotate(n_waiting=Count("waiting")).iterator():
        decided = Decision.objects.filter(
            query__round=round_, action__in=["accept", "override", "none"], withdrawn_by=None, document__queue_entry=None
        )
        n_decided = decided.values("document").distinct().count()
        Round.objects.filter(pk=round_.pk).update(laid_out=round_.n_waiting + n_decided)


class Migration(migrations.Migration):

    dependencies = [
        ("labelling", "0008_team"),
    ]

    operations = [
        migrations.AddField(
            model_name="round",
            name="laid_out",
            field=models.PositiveIntegerField(default=0, verbose_name="documents laid out for review"),
        ),
        migrations.AddField(
            model_name="queueentry",
            name="round",
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name="waiting", to="labelling.round"),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
        migrations.AlterField(
            model_name="queueentry",
            name="round",
            field=models.ForeignKey(help_text="The question's: counted at each decision.", on_delete=django.db.models.deletion.CASCADE, related_name="waiting", to="labelling.round"),
        ),
    ]
