from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import Http404
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from gallery.admin.library import thumbnail
from gallery.models import Album
from imagineer.own_changes import OwnChangesAdmin
from templates_app import authoring
from templates_app.admin.template_form import TemplateForm
from templates_app.admin.template_transfer import TransferPages
from templates_app.admin.template_versions import VersionPages
from templates_app.models import BatchTemplate

PROMPT = ["base_prompt", "prompt_template", "style_suffix", "negative_prompt", "example_theme"]


class ShelfFilter(admin.SimpleListFilter):
    """The list begins with the templates in use."""

    title = "shelf"
    parameter_name = "shelf"

    def lookups(self, request, model_admin):
        return [("archived", "Archived"), ("all", "All")]

    def choices(self, changelist):
        query = changelist.get_query_string(remove=[self.parameter_name])
        yield {"selected": self.value() is None, "query_string": query, "display": "In use"}
        yield from list(super().choices(changelist))[1:]

    def queryset(self, request, queryset):
        if self.value() == "all":
            return queryset
        return queryset.filter(is_archived=self.value() == "archived")


@admin.register(BatchTemplate)
class BatchTemplateAdmin(VersionPages, TransferPages, OwnChangesAdmin):
    """Templates are written here; every change of what they draw is a new version, and runs keep theirs."""

    class Media:
        css = {"all": ["imagineer/gallery_admin.css"]}

    form = TemplateForm
    list_display = [
        "picture",
        "name",
        "row_count",
        "size",
        "version_number",
        "run_count",
        "updated_at",
        "draw",
    ]
    list_filter = [ShelfFilter]
    list_display_links = ["picture", "name"]
    search_fields = ["name", "description", "current__base_prompt", "current__prompt_template"]
    actions = ["archive", "bring_back"]

    def get_queryset(self, request):
        queryset = super().get_queryset(request).annotate(run_count=Count("versions__runs", distinct=True))
        return queryset.with_current().with_latest_album(Album.objects.all())

    def get_fieldsets(self, request, obj=None):
        return [
            (None, {"fields": ["name", "description", *(["is_archived"] if obj else [])]}),
            ("Prompt", {"fields": PROMPT}),
            ("Rows", {"fields": [("csv_file", "csv_encoding"), "rows", "based_on"]}),
            ("Pictures", {"fields": [("width", "height"), "lora_config", "rating"]}),
        ]

    def get_form(self, request, obj=None, change=False, **kwargs):
        form = super().get_form(request, obj, change=change, **kwargs)
        form.created_by = request.user  # a class made for this request alone
        return form

    def get_actions(self, request):
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # each is looked at alone, for its runs
        return actions

    def get_urls(self):
        def post(pattern, view, name):
            wrapped = self.admin_site.admin_view(require_POST(view))
            return path(f"<int:pk>/{pattern}/", wrapped, name=f"templates_app_batchtemplate_{name}")

        return [
            post("duplicate", self.duplicate_view, "duplicate"),
            post("archive", self.archive_view, "archive"),
            *super().get_urls(),
        ]

    # ---- Writing

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except authoring.TemplateConflict as error:
            self.message_user(request, str(error), messages.ERROR)
            return redirect(request.path)

    def save_model(self, request, obj, form, change):
        obj.pk = form.save_template().pk
        obj.refresh_from_db()

    def get_deleted_objects(self, objs, request):
        """Its versions go with it, and its own runs, if it has any, keep it."""
        protected = [template for template in objs if authoring.count_runs(template)]
        versions = sum(template.versions.count() for template in objs)
        missing = set() if self.has_delete_permission(request) else {self.opts.verbose_name}
        return [str(template) for template in objs], {"versions": versions}, missing, protected

    def delete_model(self, request, obj):
        authoring.delete_template(obj)

    def duplicate_view(self, request, pk):
        template = self.find(request, pk)
        if not self.has_add_permission(request):
            raise PermissionDenied
        copy = authoring.duplicate_template(template, created_by=request.user)
        self.message_user(request, f"This is the copy, {copy}.", messages.SUCCESS)
        return redirect("admin:templates_app_batchtemplate_change", copy.pk)

    def archive_view(self, request, pk):
        template = self.find(request, pk)
        authoring.set_archived(template, is_archived="bring_back" not in request.POST)
        state = "archived; its runs and albums stay" if template.is_archived else "in use again"
        self.message_user(request, f"{template} is {state}.", messages.SUCCESS)
        return redirect("admin:templates_app_batchtemplate_change", template.pk)

    @admin.action(description="Archive", permissions=["change"])
    def archive(self, request, queryset):
        self._shelve(request, queryset, is_archived=True)

    @admin.action(description="Bring back into use", permissions=["change"])
    def bring_back(self, request, queryset):
        self._shelve(request, queryset, is_archived=False)

    def _shelve(self, request, queryset, *, is_archived):
        templates = list(queryset.exclude(is_archived=is_archived))
        for template in templates:
            authoring.set_archived(template, is_archived=is_archived)
        state = "archived" if is_archived else "in use again"
        self.message_user(request, f"{len(templates)} of them are {state} now.", messages.SUCCESS)

    def find(self, request, pk):
        """The template that one of the pages beside the form is about, for somebody who may change it."""
        template = self.get_object(request, str(pk))
        if not self.has_change_permission(request, template):
            raise PermissionDenied
        if template is None:
            raise Http404
        return template

    def desk_page(self, request, name, template, **context):
        """A page beside the form, in the admin's frame."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": template,
            **context,
        }
        return render(request, f"admin/templates_app/batchtemplate/{name}.html", context)

    # ---- The list

    def get_changelist_instance(self, request):
        """With the covers of what was drawn from each template last, all in one query."""
        changelist = super().get_changelist_instance(request)
        shown = list(changelist.result_list)
        albums = Album.objects.select_related("cover").in_bulk(
            [row.album_id for row in shown if row.album_id]
        )
        for row in shown:
            row.cover = albums[row.album_id].cover if row.album_id in albums else None
        changelist.result_list = shown
        return changelist

    @admin.display(description="drawn")
    def picture(self, template):
        return thumbnail(template.cover)

    @admin.display(description="rows", ordering="current__row_count")
    def row_count(self, template):
        return template.current.row_count

    @admin.display(description="size")
    def size(self, template):
        return f"{template.current.width}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{template.current.height}"

    @admin.display(description="version", ordering="current__number")
    def version_number(self, template):
        return template.current.number

    @admin.display(description="runs", ordering="run_count")
    def run_count(self, template):
        return template.run_count

    @admin.display(description="")
    def draw(self, template):
        if template.is_archived:
            return ""
        address = reverse("admin:templates_app_batchgenerationrun_add")
        return format_html('<a href="{}?template={}">Draw\N{NO-BREAK SPACE}…</a>', address, template.pk)
