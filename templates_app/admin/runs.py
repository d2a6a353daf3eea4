from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html

from imagineer.engine.schedulers import SCHEDULERS
from templates_app import ordering
from templates_app.models import BatchGenerationRun, BatchTemplate, RunItem


class RunForm(forms.ModelForm):
    """The order form. What it asks is checked by the same service as the API's and the commands' orders."""

    template = forms.ModelChoiceField(BatchTemplate.objects.active())
    scheduler = forms.ChoiceField(
        choices=[("", "as the model recommends"), *((name, name) for name in SCHEDULERS)], required=False
    )

    class Meta:
        model = BatchGenerationRun
        fields = [
            "template",
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
            "rating",
            "is_public",
        ]

    created_by = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        model, rating = self.fields["model"], self.fields["rating"]
        model.required, model.empty_label = False, "the default model"
        rating.choices = [("", "as the template says"), *rating.choices[1:]]
        for name in ("steps", "guidance_scale"):
            self.fields[name].help_text = "Empty: as the model recommends."
        for name in ("width", "height"):
            self.fields[name].help_text = "Pixels. Empty: as the template says."
        self.fields["user_theme"].widget.attrs["placeholder"] = "brass gears, stained glass, neon …"
        self.fields["user_theme"].required = True

    def _post_clean(self):
        """Start the run in place of checking a row: the service checks all there is to check, and writes it."""
        if self.errors:
            return
        options = dict(self.cleaned_data)
        model = options.pop("model")
        try:
            self.instance = ordering.start_run(
                options.pop("template"),
                model=model.name if model else "",
                created_by=self.created_by,
                **options,
            )
        except ValidationError as error:
            fields = getattr(error, "error_dict", None)
            if fields is None:
                self.add_error(None, error)
            else:
                for name, problems in fields.items():
                    self.add_error(name if name in self.fields else None, problems)

    def save(self, commit=True):
        return self.instance

    def save_m2m(self):
        pass


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

    def get_form(self, request, obj=None, change=False, **kwargs):
        if obj is not None:
            return super().get_form(request, obj, change=change, **kwargs)
        order_form = super().get_form(request, obj, change=change, form=RunForm, **kwargs)
        order_form.created_by = request.user  # a class made for this request alone
        return order_form

    def get_fields(self, request, obj=None):
        if obj is None:
            return RunForm.Meta.fields
        return ["job_link", "album", "template_version", *RunForm.Meta.fields[1:]]

    def get_readonly_fields(self, request, obj=None):
        return () if obj is None else self.get_fields(request, obj)

    def get_inlines(self, request, obj):
        return self.inlines if obj else []

    def has_delete_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def save_model(self, request, obj, form, change):
        """Nothing: the form has started the run."""

    def response_add(self, request, obj, post_url_continue=None):
        self.message_user(request, f"{obj.job.total} pictures are queued.", messages.SUCCESS)
        return redirect("admin:jobs_job_change", obj.pk)

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
