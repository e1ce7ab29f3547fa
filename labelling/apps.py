from django.apps import AppConfig
from django.db.models.signals import post_delete


class LabellingConfig(AppConfig):
    name = "labelling"

    def ready(self) -> None:
        post_delete.connect(_delete_files, sender="labelling.CsvImport")


def _delete_files(instance, **kwargs) -> None:
    """Uploads go with their import, and with its project."""
    for file in (instance.file, instance.rejected_file):
        file.delete(save=False)
