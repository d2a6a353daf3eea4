from django.apps import AppConfig


class TemplatesConfig(AppConfig):
    name = "templates_app"
    verbose_name = "Generation"

    def ready(self):
        from gallery.views.crawlers import put_on_map
        from gallery.visibility import Viewer
        from imagineer.jobs.reaper import on_tick
        from templates_app import origins
        from templates_app.models import BatchTemplate
        from templates_app.session_sweep import sweep_discarded

        origins.register()
        on_tick(sweep_discarded)
        put_on_map(
            "templates",
            lambda: BatchTemplate.objects.visible_to(Viewer()).values_list("pk", "updated_at"),
        )
