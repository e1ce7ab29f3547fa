from django.apps import AppConfig
from django.db.models.signals import post_delete


class LabellingConfig(AppConfig):
    name = "labelling"

    def ready(self) -> None:
        post_delete.connect(_delete_files, sender="labelling.CsvImport")
        post_delete.connect(_delete_model, sender="labelling.Project")
        # Services need the tables, which are there now.
        from labelling.services import logins, sign_on

        logins.watch()
        sign_on.watch()


def _delete_files(instance, **kwargs) -> None:
    """Uploads go with their import, and with its project."""
    for file in (instance.file, instance.rejected_file):
        file.delete(save=False)


def _delete_model(instance, **kwargs) -> None:
    """So does what its classifiers have learnt."""
    instance.model_file.unlink(missing_ok=True)
