from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.db import models
from django.db.models import Q

from templates_app import limits
from templates_app.prompts import PromptError, check_prompt


def check_prompt_text(text: str) -> None:
    try:
        check_prompt(text)
    except PromptError as error:
        raise ValidationError(str(error)) from error


class PromptTemplateQuerySet(models.QuerySet):
    def search(self, words: str):
        """Those with every one of these words in their name, description or texts."""
        found = self
        for word in words.split()[:20]:
            found = found.filter(
                Q(name__icontains=word)
                | Q(description__icontains=word)
                | Q(prompt_text__icontains=word)
                | Q(negative_prompt__icontains=word)
            )
        return found

    def best_first(self):
        return self.order_by("-is_favorite", "category", "name", "pk")


class PromptTemplate(models.Model):
    """Words worth keeping, to be put into a prompt. ``{prompt}`` stands for what has been written already."""

    name = models.CharField(max_length=200, validators=[limits.printable])
    description = models.TextField(blank=True, validators=[MaxLengthValidator(2000)])
    prompt_text = models.TextField(
        validators=[check_prompt_text],
        help_text="Write {prompt} where what has been written already belongs; without it, this text comes after it.",
    )
    negative_prompt = models.TextField(blank=True, validators=[limits.negative_prompt_length])
    category = models.CharField(max_length=100, blank=True, db_index=True, validators=[limits.printable])
    is_favorite = models.BooleanField("favourite", default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = PromptTemplateQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["is_favorite"], condition=Q(is_favorite=True), name="prompt_template_favorites"
            )
        ]

    def __str__(self):
        return self.name
