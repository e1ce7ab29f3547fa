from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("labelling", "0029_encoders")]

    operations = [
        migrations.AddField(
            model_name="round",
            name="shares",
            field=models.JSONField(
                default=dict,
                help_text="How common each label is in the pool, see labelling.jobs.rounds.prevailing.",
            ),
        ),
    ]
