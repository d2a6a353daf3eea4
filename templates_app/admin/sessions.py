from django.contrib import admin
from django.shortcuts import redirect

from templates_app.models import GenerationSession


@admin.register(GenerationSession)
class SessionAdmin(admin.ModelAdmin):
    """The list at the desk; a session itself is looked at and gone on with on its page of the site."""

    list_display = ["name", "status", "entry_type", "step_count", "image_count", "kept_count", "started_at"]
    list_filter = ["status", "entry_type"]
    list_per_page = 60
    search_fields = ["name"]
    show_full_result_count = False

    def get_queryset(self, request):
        return super().get_queryset(request).with_counts()

    def add_view(self, request, form_url="", extra_context=None):
        return redirect("session-new")

    def change_view(self, request, object_id, form_url="", extra_context=None):
        session = self.get_object(request, object_id)
        return redirect(session or "sessions")

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    @admin.display(description="steps")
    def step_count(self, session):
        return session.step_count

    @admin.display(description="pictures")
    def image_count(self, session):
        return session.image_count

    @admin.display(description="kept")
    def kept_count(self, session):
        return session.kept_count
