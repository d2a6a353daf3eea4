from django.db.models import Q
from django_filters import rest_framework as filters

from gallery.visibility import Viewer
from imagineer.api import IdFilter, TrueOrFalseFilter
from imagineer.jobs.models import JobStatus
from templates_app.models import BatchGenerationRun, BatchTemplate


class RunFilter(filters.FilterSet):
    """Whoever may not know a run's words finds it by none of them."""

    template = IdFilter(method="of_template", label="Runs of this template.")
    status = filters.ChoiceFilter("job__status", choices=JobStatus.choices)
    theme = filters.CharFilter(method="of_theme", label="Runs whose theme or album name holds this text.")
    model = filters.CharFilter(method="of_model", label="Runs with the model of this name.")
    lora = filters.CharFilter(method="of_lora", label="Runs with the LoRA of this name.")

    class Meta:
        model = BatchGenerationRun
        fields = ["template", "status", "theme", "model", "lora"]

    def _told(self, runs):
        return runs.told_to(Viewer.from_request(self.request))

    def of_template(self, runs, name, value):
        return self._told(runs).filter(template_version__template_id=value)

    def of_theme(self, runs, name, value):
        return self._told(runs).filter(Q(user_theme__icontains=value) | Q(album_name__icontains=value))

    def of_model(self, runs, name, value):
        return self._told(runs).filter(model__name=value)

    def of_lora(self, runs, name, value):
        return self._told(runs).with_lora(value)


class TemplateFilter(filters.FilterSet):
    is_archived = TrueOrFalseFilter(help_text="Only admins see archived ones; false unless given.")

    class Meta:
        model = BatchTemplate
        fields = ["is_archived"]
