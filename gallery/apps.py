from django.apps import AppConfig


class GalleryConfig(AppConfig):
    name = "gallery"
    verbose_name = "Library"

    def ready(self):
        from gallery.orphans import sweep_part
        from gallery.trash import prune_trash
        from imagineer.jobs.reaper import on_tick

        on_tick(prune_trash)

        @on_tick
        def sweep_orphans() -> int:
            return len(sweep_part().without_row)
