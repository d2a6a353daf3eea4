from django.contrib import admin
from django.utils.text import Truncator

from imagineer.own_changes import OwnChangesAdmin
from templates_app.models import PromptTemplate


@admin.register(PromptTemplate)
class PromptTemplateAdmin(OwnChangesAdmin):
    """Words worth keeping; the forms with a prompt offer them as buttons."""

    list_display = ["name", "category", "is_favorite", "words"]
    list_editable = ["is_favorite"]
    list_filter = ["is_favorite", "category"]
    list_per_page = 60
    search_fields = ["name", "description", "prompt_text", "negative_prompt"]
    fields = ["name", "category", "is_favorite", "description", "prompt_text", "negative_prompt"]
    ordering = ["-is_favorite", "category", "name"]

    @admin.display(description="prompt")
    def words(self, template):
        return Truncator(template.prompt_text).chars(90)
