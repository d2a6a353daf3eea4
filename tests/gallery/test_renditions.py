import io
import os

import numpy
import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from PIL import Image as Pillow
from PIL import ImageCms

from gallery import renditions
from gallery.renditions import BLURRED, FULL, GRID, LARGE, MEDIUM, open_rendition, size_in
from tests.gallery.pictures import draw, encode

pytestmark = pytest.mark.django_db


def read(spec, image):
    return default_storage.open(spec.key(image.sha256)).read()


@pytest.mark.parametrize(
    ("size", "spec", "expected"),
    [
        ((512, 720), GRID, (213, 300)),
        ((100, 50), GRID, (100, 50)),
        ((4000, 1000), LARGE, (1600, 400)),
        ((100_000, 1), GRID, (300, 1)),
        ((100, 50), BLURRED, (300, 150)),
    ],
)
def test_a_rendition_fits_its_square_and_only_the_blurred_one_is_enlarged(size, spec, expected):
    assert size_in(spec, *size) == expected


def test_the_told_size_is_the_true_one(take_in):
    for number, size in enumerate([(512, 720), (1700, 900), (97, 31), (1501, 1499)]):
        image = take_in(number, size=size)
        for spec in renditions.expected(*size):
            assert Pillow.open(open_rendition(image, spec.name)).size == size_in(spec, *size)


def test_a_blurred_rendition_holds_no_fine_detail():
    """The finest stripes of all become one colour, and nothing above 24 waves a side is in the spectrum."""
    stripes = numpy.zeros((600, 600, 3), numpy.uint8)
    stripes[:, ::6] = 255
    noise = numpy.random.default_rng(5).integers(0, 256, (600, 600, 3), dtype=numpy.uint8)
    for pixels in (stripes, noise):
        blurred = renditions.blur(Pillow.fromarray(pixels)).convert("L")
        waves = numpy.abs(numpy.fft.fft2(numpy.asarray(blurred, float)))
        waves[0, 0] = 0
        frequency = numpy.abs(numpy.fft.fftfreq(300, 1 / 300))
        fine = (frequency[:, None] > 24) | (frequency[None, :] > 24)
        # what remains beyond is the rounding to whole numbers, and the picture's edges
        assert waves[fine].max() / waves.size < 0.1
    assert numpy.asarray(renditions.blur(Pillow.fromarray(stripes)).convert("L")).std() < 12


def test_a_blurred_rendition_is_made_from_the_reduced_picture_alone():
    picture = draw(3, size=(480, 720))
    small = picture.resize((16, 24), Pillow.Resampling.BOX)
    restored = small.resize((480, 720), Pillow.Resampling.NEAREST)
    assert renditions.blur(picture).tobytes() == renditions.blur(restored).tobytes()


def test_renditions_are_a_function_of_the_picture(take_in):
    image = take_in(size=(1500, 1000))
    for spec in (GRID, MEDIUM, LARGE, BLURRED):
        before = read(spec, image)
        default_storage.delete(spec.key(image.sha256))
        assert open_rendition(image, spec.name).read() == before


def test_a_lost_rendition_is_made_again_when_somebody_asks(take_in):
    image = take_in()
    default_storage.delete(GRID.key(image.sha256))
    assert Pillow.open(open_rendition(image, "grid")).format == "WEBP"


def test_an_empty_rendition_is_made_again_when_somebody_asks_and_by_the_command(take_in):
    image = take_in()
    before = read(GRID, image)
    for ask in (lambda: open_rendition(image, "grid"), lambda: call_command("rebuild_renditions")):
        os.truncate(default_storage.path(GRID.key(image.sha256)), 0)
        ask()
        assert read(GRID, image) == before


def test_nothing_is_made_from_an_original_that_was_cut_short(take_in):
    image = take_in()
    default_storage.delete(GRID.key(image.sha256))
    os.truncate(default_storage.path(image.file.name), 9)
    with pytest.raises(FileNotFoundError):
        open_rendition(image, "grid")


def test_the_command_makes_what_is_missing_and_says_what_it_cannot(take_in, capsys):
    whole, lost = take_in(1), take_in(2)
    for image in (whole, lost):
        default_storage.delete(GRID.key(image.sha256))
    default_storage.delete(lost.file.name)
    with pytest.raises(SystemExit) as end:
        call_command("rebuild_renditions")
    assert end.value.code == 1
    assert f"picture {lost.pk}" in capsys.readouterr().out
    assert default_storage.exists(GRID.key(whole.sha256))


def test_the_command_says_of_each_picture_that_the_disk_is_away(take_in, unmounted, capsys):
    image = take_in()
    with unmounted(), pytest.raises(SystemExit):
        call_command("rebuild_renditions")
    told = capsys.readouterr()
    assert f"picture {image.pk}: OSError" in told.out and "although the library has pictures" in told.out


def test_transparent_pictures_stay_transparent(take_in):
    picture = Pillow.new("RGBA", (400, 400), (255, 0, 0, 0))
    data, _ = renditions.decode(encode(picture), side=1600)
    assert Pillow.open(io.BytesIO(renditions.render(data, GRID))).mode == "RGBA"


def test_colours_of_another_space_are_brought_to_the_screen_s():
    """In the space of this profile the first number is green and the second red."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"-XYZ").replace(b"gXYZ", b"rXYZ").replace(b"-XYZ", b"gXYZ")
    picture = Pillow.new("RGB", (64, 64), (200, 60, 60))
    plain, profiled, broken = (
        renditions.decode(encode(picture, icc_profile=profile), side=1600)[0].getpixel((5, 5))
        for profile in (None, swapped, b"no profile")
    )
    assert plain == broken == (200, 60, 60)
    assert profiled[0] < 80 and profiled[1] > 180


def test_the_full_copy_is_made_when_first_asked_for(take_in):
    image = take_in()
    assert not default_storage.exists(FULL.key(image.sha256))
    assert Pillow.open(open_rendition(image, "full")).size == (96, 128)
