from django.apps import AppConfig


class TemplatesConfig(AppConfig):
    name = "templates_app"
    verbose_name = "Generation"

    def ready(self):
        from templates_app import origins

        origins.register()
