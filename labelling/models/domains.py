"""Documents by what they are about: those that a reviewer is for, and those that only people decide on."""

from __future__ import annotations

from django.db import models

from labelling.models.projects import Label, Membership, Project


class Domain(models.Model):
    """Labels, each with all below it, and values of one column of the metadata; whatever is empty limits nothing."""

    labels = models.ManyToManyField(Label, related_name="+", blank=True)
    column = models.CharField(max_length=200, blank=True)
    values = models.JSONField(default=list, blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        values = [f"{self.column}: {value}" for value in self.values]
        return ", ".join([*map(str, self.labels.all()), *values])


class Expertise(Domain):
    """What a reviewer gets from the queue, by the label asked about and by the metadata: what fits both."""

    membership = models.OneToOneField(Membership, models.CASCADE, related_name="expertise")

    class Meta:
        verbose_name_plural = "expertise"


class PeopleOnly(Domain):
    """What no machine settles, by the most probable label or by the metadata: what fits either."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="people_only")

    class Meta:
        verbose_name_plural = "people only"
