from django.contrib import admin
from django.db.models import Count
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from templates_app.models import BatchTemplate


@admin.register(BatchTemplate)
class BatchTemplateAdmin(admin.ModelAdmin):
    """Templates are read here, with their rows; runs of them are started from "Add generation run"."""

    list_display = ["name", "row_count", "size", "version_number", "run_count", "is_archived", "updated_at"]
    list_filter = ["is_archived"]
    list_select_related = ["current"]
    search_fields = ["name", "description"]
    readonly_fields = ["version_number", "size", "prompts", "rows", "start"]
    fields = ["start", "name", "description", "is_archived", "version_number", "size", "prompts", "rows"]

    def get_queryset(self, request):
        return super().get_queryset(request).annotate(run_count=Count("versions__runs", distinct=True))

    def has_add_permission(self, request):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    @admin.display(description="rows", ordering="current__row_count")
    def row_count(self, template):
        return template.current.row_count

    @admin.display(description="size")
    def size(self, template):
        return f"{template.current.width} × {template.current.height}"

    @admin.display(description="version", ordering="current__number")
    def version_number(self, template):
        return template.current.number

    @admin.display(description="runs", ordering="run_count")
    def run_count(self, template):
        return template.run_count

    @admin.display(description="prompt")
    def prompts(self, template):
        version = template.current
        return format_html(
            "{}<br><b>Art style:</b> the run's theme, such as {}<br>{}<br>{}<br><b>Negative prompt:</b> {}",
            version.base_prompt,
            version.example_theme or "watercolour",
            version.prompt_template,
            version.style_suffix,
            version.negative_prompt or "none",
        )

    @admin.display(description="rows")
    def rows(self, template):
        rows = ((", ".join(filter(None, row.values())),) for row in template.current.rows)
        return format_html("<ol>{}</ol>", format_html_join("", "<li>{}</li>", rows))

    @admin.display(description="draw")
    def start(self, template):
        address = reverse("admin:templates_app_batchgenerationrun_add")
        return format_html(
            '<a class="button" href="{}?template={}">Draw this set …</a>', address, template.pk
        )
