"""The versions of a template: what changed from one to the next, and back to an older one."""

from django.contrib import messages
from django.db.models import Count
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.views.decorators.http import require_POST, require_safe

from templates_app import authoring
from templates_app.differences import compare_versions
from templates_app.lora_stack import missing_loras

SHOWN_VERSIONS = 100


class VersionPages:
    """Pages of ``BatchTemplateAdmin``; ``find`` and ``desk_page`` are its own."""

    def get_urls(self):
        view = self.admin_site.admin_view
        return [
            path(
                "<int:pk>/versions/",
                view(require_safe(self.versions_view)),
                name="templates_app_batchtemplate_versions",
            ),
            path(
                "<int:pk>/versions/compare/",
                view(require_safe(self.compare_view)),
                name="templates_app_batchtemplate_compare",
            ),
            path(
                "<int:pk>/versions/<int:number>/restore/",
                view(require_POST(self.restore_view)),
                name="templates_app_batchtemplate_restore",
            ),
            *super().get_urls(),
        ]

    def versions_view(self, request, pk):
        template = self.find(request, pk)
        versions = template.versions.defer("rows", "columns").select_related("created_by")
        versions = versions.annotate(run_count=Count("runs")).order_by("-number")[:SHOWN_VERSIONS]
        return self.desk_page(
            request, "versions", template, title=f"Versions of {template}", versions=list(versions)
        )

    def compare_view(self, request, pk):
        template = self.find(request, pk)
        newest = template.current.number
        new = self._version(template, request.GET.get("to", str(newest)))
        old = self._version(template, request.GET.get("from", str(max(1, new.number - 1))))
        return self.desk_page(
            request,
            "compare",
            template,
            title=f"{template}: version {old.number} and version {new.number}",
            old=old,
            new=new,
            difference=compare_versions(old, new),
        )

    def restore_view(self, request, pk, number):
        template = self.find(request, pk)
        version = get_object_or_404(template.versions, number=number)
        before = template.current.number
        template = authoring.restore_version(version, created_by=request.user)
        if template.current.number == before:
            self.message_user(request, f"Version {before} is the same as version {number} already.")
        else:
            self.message_user(
                request,
                f"Version {number} is back, as version {template.current.number}; version {before} is kept.",
                messages.SUCCESS,
            )
        if missing := missing_loras(template.current.lora_config):
            self.message_user(
                request,
                f"It names LoRAs that the library lacks: {', '.join(missing)}. Nothing can be drawn from it until "
                "they are back or taken out.",
                messages.WARNING,
            )
        return redirect(reverse("admin:templates_app_batchtemplate_versions", args=[pk]))

    def _version(self, template, number: str):
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise Http404
        return get_object_or_404(template.versions, number=number)
