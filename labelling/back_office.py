"""The index of the back office: what administrators change first, then work, then evidence to look at."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest

# In this order. Each admin of the application names its own.
PROJECTS, SITE, WORK, EVIDENCE = GROUPS = ("Projects", "Site", "Work", "Evidence")


class BackOffice(AdminSite):
    """Django's, with the application's tables in groups."""

    site_header = site_title = "R.E.D. administration"
    index_title = "Back office"

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        apps = super().get_app_list(request, app_label)
        return [part for app in apps for part in (self._groups(app) if app["app_label"] == "labelling" else [app])]

    def _groups(self, app: dict[str, Any]) -> list[dict[str, Any]]:
        by_group: dict[str, list[Any]] = {group: [] for group in GROUPS}
        for model in app["models"]:
            by_group[self._registry[model["model"]].group].append(model)  # type: ignore[attr-defined]
        return [app | {"name": group, "models": models} for group, models in by_group.items() if models]
