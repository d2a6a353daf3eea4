from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from gallery.models import Lora
from templates_app import ordering
from templates_app.models import BatchGenerationRun
from templates_app.order_flow import handle_order


class LoraFilter(admin.SimpleListFilter):
    title = "LoRA"
    parameter_name = "lora"

    def lookups(self, request, model_admin):
        return [(name, name) for name in Lora.objects.order_by("name").values_list("name", flat=True)[:200]]

    def queryset(self, request, queryset):
        return queryset.with_lora(self.value()) if self.value() else queryset


class KindFilter(admin.SimpleListFilter):
    """Re-rolls and steps of sessions stand under what they belong to; the list begins without them."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request, model_admin):
        return [("rerolls", "Re-rolls"), ("all", "All")]

    def choices(self, changelist):
        query = changelist.get_query_string(remove=["kind"])
        yield {"selected": self.value() is None, "query_string": query, "display": "In their own right"}
        yield from list(super().choices(changelist))[1:]

    def queryset(self, request, queryset):
        if self.value() == "rerolls":
            return queryset.exclude(parent=None)
        is_list = request.resolver_match.url_name.endswith("changelist")
        return queryset.listed() if is_list and self.value() is None else queryset


SHOWN = [
    "album_name",
    "user_theme",
    "model",
    "row_selection",
    "variants",
    "steps",
    "seed",
    "is_same_seed",
    "width",
    "height",
    "guidance_scale",
    "scheduler",
    "negative_prompt",
    "loras",
    "reference_image",
    "strength",
    "rating",
    "is_public",
]


@admin.register(BatchGenerationRun)
class RunAdmin(admin.ModelAdmin):
    """Adding a run starts it; its own page shows the live bar and its slots, with Cancel and Retry."""

    list_display = ["album_name", "template_name", "user_theme", "status", "progress", "created_at"]
    list_filter = [KindFilter, "job__status", "template_version__template", "model", LoraFilter]
    show_full_result_count = False
    search_fields = ["album_name", "user_theme"]
    list_select_related = ["job", "template_version__template"]

    def get_queryset(self, request):
        return super().get_queryset(request).defer("template_version__rows")

    def get_fields(self, request, obj=None):
        return ["pictures", "job_link", "album", "template_version", "parent", *SHOWN]

    def get_readonly_fields(self, request, obj=None):
        return self.get_fields(request, obj)

    def has_delete_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def add_view(self, request, form_url="", extra_context=None):
        """The order form, its preflight, and the run that it becomes; see ``templates_app.order_flow``."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def submit(form):
            return ordering.submit(form.order, created_by=request.user)

        context, run = handle_order(request, is_admin=True, submit=submit)
        if run:
            self.message_user(request, f"{run.job.total} pictures are queued.", messages.SUCCESS)
            return redirect("run", run.pk)
        title = "Draw this?" if "order" in context else "Draw a set"
        context |= self.admin_site.each_context(request) | {"title": title, "opts": self.opts}
        return TemplateResponse(
            request, "admin/templates_app/batchgenerationrun/order.html", context | (extra_context or {})
        )

    @admin.display(description="template", ordering="template_version__template__name")
    def template_name(self, run):
        return run.template_version.template.name if run.template_version else "single picture"

    @admin.display(description="status", ordering="job__status")
    def status(self, run):
        return run.job.get_status_display()

    @admin.display(description="progress")
    def progress(self, run):
        failed = f", {run.job.failed} failed" if run.job.failed else ""
        return f"{run.job.done} of {run.job.total}{failed}"

    @admin.display(description="started", ordering="job__created_at")
    def created_at(self, run):
        return run.job.created_at

    @admin.display(description="pictures")
    def pictures(self, run):
        return format_html('<a class="button" href="{}">{}</a>', run.get_absolute_url(), self.progress(run))

    @admin.display(description="job")
    def job_link(self, run):
        return format_html('<a href="{}">{}</a>', reverse("admin:jobs_job_change", args=[run.pk]), run.job)
