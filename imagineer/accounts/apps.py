from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "imagineer.accounts"
    verbose_name = "People"

    def ready(self):
        from imagineer.accounts import journal  # noqa: F401  registers its receivers
        from imagineer.accounts.services import fill_curators_group

        post_migrate.connect(fill_curators_group)
