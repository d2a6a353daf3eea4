from django.apps import AppConfig


class TemplatesConfig(AppConfig):
    name = "templates_app"
    verbose_name = "Generation"

    def ready(self):
        from imagineer.jobs.reaper import on_tick
        from templates_app import origins
        from templates_app.sessions import sweep_discarded

        origins.register()
        on_tick(sweep_discarded)
