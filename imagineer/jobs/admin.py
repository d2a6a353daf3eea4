import django_q.admin  # noqa: F401  registers its models, which must have happened before they are taken away
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.timesince import timesince
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_q.models import Failure, OrmQ, Schedule, Success

from imagineer.jobs.kinds import page_of
from imagineer.jobs.models import Job, JobStatus, Worker
from imagineer.jobs.runner import JobConflict, move_to_front, request_cancel, retry

# Whoever may write a Schedule row runs any function of any module: none of these pages may exist.
for model in (Failure, OrmQ, Schedule, Success):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


class ReadOnlyAdmin(admin.ModelAdmin):
    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """The queue. Jobs are started where their work is described; here they are watched, cancelled and tried again."""

    list_display = ["__str__", "status", "progress", "message", "queue", "priority", "owner", "age"]
    list_filter = ["status", "queue", "kind"]
    list_select_related = ["owner"]
    show_full_result_count = False
    fieldsets = [
        (None, {"fields": ["kind", "queue", "priority", "ordered_by", "owner"]}),
        (
            "Times",
            {"fields": ["created_at", "started_at", "finished_at", "not_before", "cancel_requested_at"]},
        ),
        (
            "For whoever looks for a fault",
            {"classes": ["collapse"], "fields": ["params", "epoch", "lease_until", "crashes"]},
        ),
    ]

    @admin.display(description="ordered by")
    def ordered_by(self, job):
        return str(job.created_by or "")  # no link: people are the superusers' to look at

    @admin.display(description="progress")
    def progress(self, job):
        failed = f", {job.failed} failed" if job.failed else ""
        return f"{job.done} of {job.total or '?'}{failed}"

    @admin.display(description="age", ordering="created_at")
    def age(self, job):
        return timesince(job.created_at)

    def get_urls(self):
        def view(name, function):
            return path(f"<int:pk>/{name}/", self.admin_site.admin_view(function), name=f"jobs_job_{name}")

        mine = [
            view("progress", self.progress_view),
            view("cancel", self.cancel_view),
            view("retry", self.retry_view),
            view("front", self.front_view),
        ]
        return mine + super().get_urls()

    def change_view(self, request, object_id, form_url="", extra_context=None):
        job = self.get_object(request, object_id)
        context = {"may_work": self._may_work(request), "state": describe_progress(job) if job else None}
        context["page"] = page_of(job) if job else ""
        return super().change_view(request, object_id, form_url, (extra_context or {}) | context)

    @method_decorator([require_GET, never_cache])
    def progress_view(self, request, pk):
        if not self.has_view_permission(request):
            raise PermissionDenied
        return JsonResponse(describe_progress(get_object_or_404(Job, pk=pk)))

    @method_decorator(require_POST)
    def cancel_view(self, request, pk):
        return self._act(request, pk, request_cancel, "The job is cancelled, or stops at its next step.")

    @method_decorator(require_POST)
    def retry_view(self, request, pk):
        return self._act(request, pk, retry, "The job is queued again; what is done stays.")

    @method_decorator(require_POST)
    def front_view(self, request, pk):
        return self._act(request, pk, move_to_front, "The job is next, after single pictures.")

    def _act(self, request, pk, service, sentence):
        if not self._may_work(request):
            raise PermissionDenied
        try:
            service(get_object_or_404(Job, pk=pk))
        except JobConflict as conflict:
            self.message_user(request, str(conflict), messages.WARNING)
        else:
            self.message_user(request, sentence, messages.SUCCESS)
        back = request.POST.get("next", "")
        is_ours = url_has_allowed_host_and_scheme(
            back, allowed_hosts={request.get_host()}, require_https=request.is_secure()
        )
        return redirect(back if is_ours else reverse("admin:jobs_job_change", args=[pk]))

    def _may_work(self, request) -> bool:
        return request.user.has_perm("jobs.change_job")

    def has_delete_permission(self, request, obj=None):
        return super().has_delete_permission(request, obj) and not (obj and obj.is_active)

    # A job may have been taken up again since the page was shown.
    def delete_model(self, request, obj):
        Job.objects.filter(pk=obj.pk).finished().delete()

    def delete_queryset(self, request, queryset):
        queryset.finished().delete()


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ["__str__", "queue", "device", "model", "megabytes", "seen", "started_at"]

    @admin.display(description="memory", ordering="memory")
    def megabytes(self, worker):
        return f"{worker.memory / 1e6:,.0f} MB"

    @admin.display(description="seen", ordering="seen_at")
    def seen(self, worker):
        return f"{timesince(worker.seen_at)} ago"

    def has_delete_permission(self, request, obj=None):
        return False


def describe_progress(job: Job) -> dict:
    """What the live bar of ``job_progress.js`` shows."""
    length = timesince(job.started_at or job.created_at, job.finished_at or timezone.now())
    words = {JobStatus.QUEUED: "waiting for", JobStatus.RUNNING: "for", JobStatus.CANCELLED: "after"}
    return {
        "status": job.get_status_display(),
        "is_active": job.is_active,
        "is_cancelling": job.is_active and job.cancel_requested_at is not None,
        "can_retry": job.can_retry,
        "done": job.done,
        "failed": job.failed,
        "total": job.total,
        "message": job.message,
        "error": job.error,
        "log": job.log_tail,
        "time": f"{words.get(job.status, 'in')} {length}",
    }
