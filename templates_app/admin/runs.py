from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from templates_app import ordering
from templates_app.models import BatchGenerationRun, RunItem
from templates_app.order_flow import handle_order


class RunItemInline(admin.TabularInline):
    model = RunItem
    fields = readonly_fields = ["position", "variant", "name", "status", "tries", "seed", "error", "image"]
    extra = 0
    can_delete = False
    show_change_link = False
    max_num = 0

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("image")

    def has_add_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        return False


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
    """Adding a run starts it; its job's page shows the live bar, Cancel and Retry."""

    list_display = ["album_name", "template_name", "user_theme", "status", "progress", "created_at"]
    list_filter = ["job__status", "template_version__template"]
    search_fields = ["album_name", "user_theme"]
    list_select_related = ["job", "template_version__template"]
    inlines = [RunItemInline]

    def get_queryset(self, request):
        return super().get_queryset(request).defer("template_version__rows")

    def get_fields(self, request, obj=None):
        return ["job_link", "album", "template_version", *SHOWN]

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

    @admin.display(description="job")
    def job_link(self, run):
        return format_html('<a href="{}">{}</a>', reverse("admin:jobs_job_change", args=[run.pk]), run.job)
