"""A library of its own for a measurement, in a folder that goes with it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def a_library(
    *, settings: str = "imagineer.settings", host: str = "testserver", database: str = ""
) -> Iterator[Path]:
    """Its folder. Django is set up for it, for this process and those that it starts; on SQLite if no other is named."""
    with tempfile.TemporaryDirectory(prefix="imagineer-bench-") as folder:
        os.environ |= {
            "IMAGINEER_DATA_DIR": folder,
            "DATABASE_URL": database or f"sqlite:///{folder}/bench.sqlite3",
            "DJANGO_SETTINGS_MODULE": settings,
            "DJANGO_ALLOWED_HOSTS": host,
        }
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        call_command("collectstatic", verbosity=0, interactive=False)
        # rows without files, with no folder for them either, would look like a disk that is away
        Path(folder, "media", "originals").mkdir(parents=True, exist_ok=True)
        yield Path(folder)


def fill(start: int, end: int) -> None:
    """Rows of pictures: one in five restricted, one in a thousand tagged; an album for each hundred, and one of all."""
    from django.db import transaction

    from gallery.models import Album, AlbumImage, DiffusionModel, Image, Label

    with transaction.atomic():
        model, _ = DiffusionModel.objects.get_or_create(name="model", defaults={"location": "x"})
        everything, _ = Album.objects.get_or_create(pk=1, defaults={"name": "Everything"})
        images = Image.objects.bulk_create(
            [
                Image(
                    sha256=f"{number:064x}",
                    file=f"originals/00/00/{number:064x}.png",
                    filename=f"Picture_{number}.png",
                    mime_type="image/png",
                    width=512,
                    height=720,
                    file_size=400_000,
                    phash=number,
                    source_type="batch_generation" if number % 2 else "manual",
                    source_id=1 + number // 100 if number % 2 else None,
                    prompt=f"picture {number}, a lighthouse above a stormy sea, oil on canvas, thick strokes",
                    generation_params={"seed": number, "steps": 30, "position": number % 100},
                    model=model,
                    rating="adult" if number % 5 == 0 else "safe",
                    is_public=True,
                )
                for number in range(start, end)
            ],
            batch_size=5000,
        )
        albums = Album.objects.bulk_create(
            [
                Album(
                    name=f"Album {first}",
                    source_type="batch_generation",
                    source_id=first,
                    cover=images[first],
                )
                for first in range(0, len(images), 100)
            ]
        )
        places = [
            AlbumImage(album=album, image=image, position=position)
            for position, image in enumerate(images, start)
            for album in (everything, albums[(position - start) // 100])
        ]
        AlbumImage.objects.bulk_create(places, batch_size=5000)
        Label.objects.bulk_create([Label(image=image, text="rare") for image in images[::1000]])
        for album in [everything, *albums]:
            album.image_count = album.places.count()
        Album.objects.bulk_update([everything, *albums], ["image_count"], batch_size=500)
