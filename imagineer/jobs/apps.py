from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class JobsConfig(AppConfig):
    name = "imagineer.jobs"
    verbose_name = "Work"

    def ready(self):
        autodiscover_modules("tasks")
