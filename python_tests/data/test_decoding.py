# SPDX-License-Identifier: MIT
"""Files as people have them: each is read right, or named with the reason."""

from contextlib import suppress

import numpy as np
import pytest
from image_files import write_image
from PIL import Image

from yopo_ext.data.decoding import UndecodableError, decode


def pixels_of(path, side=8):
    return decode(path, side).transpose(1, 2, 0)


def gradient(width=16, height=16):
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([across, down, 255 - across], 2).round().astype(np.uint8)


@pytest.mark.parametrize("size", [(8, 8), (12, 10), (7, 31), (400, 3), (5, 5), (1, 1), (3, 4000)])
@pytest.mark.parametrize("side", [8, 9])
def test_it_is_resized_by_the_shorter_side_then_cropped_to_the_centre(tmp_path, size, side):
    write_image(tmp_path / "a.png", size=size)
    whole = Image.open(tmp_path / "a.png")
    width, height = (side if length == min(size) else int(side * length / min(size)) for length in size)
    whole = whole.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - side) / 2), round((height - side) / 2)
    expected = np.asarray(whole.crop((left, top, left + side, top + side)))
    assert np.abs(pixels_of(tmp_path / "a.png", side).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("mode", "suffix"), [
    ("RGB", "png"), ("RGBA", "png"), ("RGBA", "webp"), ("CMYK", "jpg"), ("P", "png"), ("P", "gif"), ("YCbCr", "jpg"),
    ("RGB", "tiff"), ("CMYK", "tiff"), ("RGB", "bmp"),
])  # fmt: skip
def test_colours_survive_every_mode(tmp_path, mode, suffix):
    image = Image.fromarray(gradient(8, 8))
    image = image.quantize(256) if mode == "P" else image.convert(mode)
    image.save(tmp_path / f"a.{suffix}", **({"quality": 100} if suffix in ("jpg", "webp") else {}))
    assert np.abs(pixels_of(tmp_path / f"a.{suffix}").astype(int) - gradient(8, 8)).mean() < 12


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_is_three_equal_channels(tmp_path, mode):
    Image.fromarray(gradient(8, 8)).convert(mode).save(tmp_path / "a.png")
    found = decode(tmp_path / "a.png", 8)
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()
    assert found.max() > found.min()


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_grey_keeps_its_upper_bits(tmp_path, suffix):
    values = (np.arange(64).reshape(8, 8) * 1040).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    assert (decode(tmp_path / f"a.{suffix}", 8)[0] == values >> 8).all()


def test_it_is_turned_as_its_exif_says(tmp_path):
    image, exif = Image.fromarray(gradient(16, 8)), Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    image.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "plain.png")
    assert (decode(tmp_path / "turned.png", 8) == decode(tmp_path / "plain.png", 8)).all()


def test_exif_that_cannot_be_read_is_no_fault_of_the_pixels(tmp_path):
    write_image(tmp_path / "a.jpg", size=(8, 8), exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    assert decode(tmp_path / "a.jpg", 8).max() > 0


def write_odd(path, kind):
    write_image(path, size=(64, 64), seed=1)
    whole = path.read_bytes()
    if kind == "link":
        path.unlink()
        path.symlink_to("nothing")
    elif kind == "floats":
        Image.fromarray(np.ones((4, 4), np.float32)).save(path, format="TIFF")
    elif kind == "wide integers":
        Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(path, format="TIFF")
    else:
        path.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"a list of names\n"}[kind])


@pytest.mark.parametrize(("kind", "reason"), [
    ("truncated", "truncated"), ("empty", "^empty$"), ("text", "^no image$"), ("link", "^a link to nothing$"),
    ("floats", "its pixels are floats, whose range is not known"), ("wide integers", "run from 70000 to 70000"),
])  # fmt: skip
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_what_cannot_be_read_says_why(tmp_path, kind, reason, suffix):
    write_odd(tmp_path / f"a.{suffix}", kind)
    with pytest.raises(UndecodableError, match=reason):
        decode(tmp_path / f"a.{suffix}", 8)


@pytest.mark.parametrize("seed", range(20))
def test_arbitrary_damage_is_an_undecodable_file_or_an_image(tmp_path, seed):
    write_image(tmp_path / "a.png", size=(20, 20))
    content, rng = bytearray((tmp_path / "a.png").read_bytes()), np.random.default_rng(seed)
    for place in rng.integers(8, len(content), 5):
        content[place] = rng.integers(256)
    (tmp_path / "a.png").write_bytes(content)
    with suppress(UndecodableError):
        assert decode(tmp_path / "a.png", 8).shape == (3, 8, 8)
