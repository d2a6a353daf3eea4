from django.db import models

from imagineer.jobs.models import Job


class Item(models.Model):
    """One thing that a test job has to do."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveIntegerField()
    is_done = models.BooleanField(default=False)
    is_failed = models.BooleanField(default=False)

    class Meta:
        ordering = ["position"]

    def __str__(self):
        return f"item {self.position}"


class Result(models.Model):
    """What was made of an item. No constraint keeps a second one away, so a test can count them."""

    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="results")
    epoch = models.PositiveIntegerField()
    pid = models.PositiveIntegerField()

    def __str__(self):
        return f"result of {self.item} by {self.pid}"
