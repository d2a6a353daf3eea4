"""Templates come from elsewhere and go there: as one file, and from the sets folder."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.text import slugify
from django.views.decorators.http import require_http_methods

from gallery.models import Lora
from templates_app.csv_items import write_csv
from templates_app.lora_stack import missing_loras
from templates_app.sets_folder import find_sets, sets_folder, take_in
from templates_app.template_files import (
    MAX_BYTES,
    SIDES,
    TEXTS,
    TemplateFileError,
    read_template,
    write_template,
)


class TransferPages:
    """Pages of ``BatchTemplateAdmin``; ``find`` and ``desk_page`` are its own."""

    def get_urls(self):
        def page(pattern, name, view, methods=("GET", "HEAD", "POST")):
            wrapped = self.admin_site.admin_view(require_http_methods(methods)(view))
            return path(pattern, wrapped, name=f"templates_app_batchtemplate_{name}")

        return [
            page("import/", "import", self.import_view),
            page("sets/", "sets", self.sets_view),
            page("<int:pk>/export/", "export", self.export_view, ("GET", "HEAD")),
            *super().get_urls(),
        ]

    def export_view(self, request, pk):
        template = self.find(request, pk)
        version = template.current
        names = [use["lora"] for use in version.lora_config]
        hashes = dict(Lora.objects.filter(name__in=names).values_list("name", "sha256"))
        name = slugify(template.name) or f"template-{template.pk}"
        return HttpResponse(
            write_template(template, version, hashes=hashes),
            content_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="{name}.template.json"'},
        )

    def import_view(self, request):
        """A file becomes a filled form with its preview; nothing is stored before that is saved."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        sentences = []
        if request.method == "POST":
            upload = request.FILES.get("file")
            try:
                if upload is None:
                    raise TemplateFileError("Choose a file first.")
                given = read_template(upload.read(MAX_BYTES + 1))
            except TemplateFileError as error:
                sentences = error.sentences
            else:
                return self._filled_form(request, given)
        return self.desk_page(request, "import", None, title="Import a template", sentences=sentences)

    def _filled_form(self, request, given):
        stack = _known_by_hash(given["loras"])
        if missing := missing_loras(stack):
            self.message_user(
                request,
                f"The library lacks these LoRAs: {', '.join(missing)}. Add them to it and import the file again, or "
                "take them out below.",
                messages.WARNING,
            )
        form = QueryDict(mutable=True)
        form.update({name: given[name] for name in (*TEXTS, *SIDES)})
        form["rows"] = write_csv(given["rows"]).decode()
        form.setlist("lora_config-lora", [use["lora"] for use in stack])
        form.setlist("lora_config-weight", [str(use["weight"]) for use in stack])
        form["_preview"] = "1"
        request.POST = form
        return self.changeform_view(request, form_url=reverse("admin:templates_app_batchtemplate_add"))

    def sets_view(self, request):
        """What lies in the sets folder, and what of it is to be taken in."""
        if not (self.has_add_permission(request) and self.has_change_permission(request)):
            raise PermissionDenied
        found = find_sets()
        if request.method == "POST":
            self._take_in(request, found, set(request.POST.getlist("set")))
            return redirect("admin:templates_app_batchtemplate_sets")
        return self.desk_page(
            request, "sets", None, title="The sets folder", sets=found, folder_name=sets_folder().name
        )

    def _take_in(self, request, found, wanted):
        taken = []
        for one in found:
            if one.key not in wanted or not one.may_be_taken:
                continue
            wanted.discard(one.key)
            try:
                taken.append(take_in(one, created_by=request.user).name)
            except ValidationError as error:
                self.message_user(request, f"{one.file}: {' '.join(error.messages)}", messages.ERROR)
        if wanted:
            self.message_user(
                request, "Some files have changed since you saw them; look at them again.", messages.WARNING
            )
        if taken:
            self.message_user(request, f"Taken in: {', '.join(taken)}.", messages.SUCCESS)


def _known_by_hash(loras: list[dict]) -> list[dict]:
    """The same stack under the names that this library has for its files."""
    hashes = [use["sha256"] for use in loras if use["sha256"]]
    names = dict(Lora.objects.enabled().filter(sha256__in=hashes).values_list("sha256", "name"))
    return [{"lora": names.get(use["sha256"], use["lora"]), "weight": use["weight"]} for use in loras]
