from django_filters import rest_framework as filters

from imagineer.api import IdFilter
from imagineer.jobs.models import JobStatus
from templates_app.models import BatchGenerationRun


class RunFilter(filters.FilterSet):
    template = IdFilter("template_version__template_id")
    status = filters.ChoiceFilter("job__status", choices=JobStatus.choices)

    class Meta:
        model = BatchGenerationRun
        fields = ["template", "status"]
