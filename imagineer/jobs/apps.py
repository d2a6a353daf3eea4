from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "imagineer.jobs"
    verbose_name = "Work"
