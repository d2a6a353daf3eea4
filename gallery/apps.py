from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class GalleryConfig(AppConfig):
    name = "gallery"
    verbose_name = "Library"

    def ready(self):
        from gallery.orphans import sweep_part
        from gallery.sequences import keep_numbers, remember_numbers
        from gallery.trash import prune_trash
        from imagineer.jobs.reaper import on_tick

        on_tick(prune_trash)

        pre_migrate.connect(remember_numbers, sender=self)
        post_migrate.connect(keep_numbers, sender=self)

        @on_tick
        def sweep_orphans() -> int:
            return len(sweep_part().without_row)
