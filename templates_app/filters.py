from django_filters import rest_framework as filters

from imagineer.api import IdFilter
from imagineer.jobs.models import JobStatus
from templates_app.models import BatchGenerationRun, BatchTemplate


class RunFilter(filters.FilterSet):
    template = IdFilter("template_version__template_id")
    status = filters.ChoiceFilter("job__status", choices=JobStatus.choices)

    class Meta:
        model = BatchGenerationRun
        fields = ["template", "status"]


class TemplateFilter(filters.FilterSet):
    is_archived = filters.BooleanFilter(help_text="Only admins see archived ones; false unless given.")

    class Meta:
        model = BatchTemplate
        fields = ["is_archived"]
