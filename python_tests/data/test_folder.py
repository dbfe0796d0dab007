# SPDX-License-Identifier: MIT
"""Folders as people have them: read right, refused by name, or gone on without what is broken, as was chosen."""

import os

import pytest
import torch
from image_files import write_image, write_image_folder

from yopo_ext.data import DataFileError, StoredImageSet, load_dataset, load_test_images, split_held_out
from yopo_ext.data.decoding import decode
from yopo_ext.data.folder import FolderOptions


def load(root, **options):
    return load_dataset("folder", root, FolderOptions(**{"image_size": 8, "decode_workers": 0, **options}))


@pytest.fixture
def root(tmp_path):
    return write_image_folder(tmp_path / "set")


def test_classes_are_folders_sorted_by_name(root):
    data = load(root)
    assert isinstance(data.train, StoredImageSet)
    assert (len(data.train), len(data.test), data.train.num_classes) == (12, 6, 2)
    assert data.train.class_names == data.test.class_names == ("cat", "dog")
    assert data.train.labels.tolist() == [0] * 6 + [1] * 6
    assert (data.train.channels, data.train.image_size, data.train.images.shape) == (3, 8, torch.Size([12, 3, 8, 8]))


def test_images_are_the_centre_of_the_decoded_ones(root):
    data = load(root)
    expected = torch.from_numpy(decode(root / "train" / "dog" / "02.png", 12)[:, 2:10, 2:10].copy())
    assert torch.equal(data.train.images[torch.tensor([8])][0], expected)
    assert torch.equal(data.train.images[:][8], expected)
    whole = load(root, resize=8)
    assert torch.equal(whole.train.images[:][8], torch.from_numpy(decode(root / "train" / "dog" / "02.png", 8)))


@pytest.mark.parametrize(("size", "side"), [(224, 256), (64, 72), (32, 36), (8, 12), (299, 343)])
def test_the_shorter_side_is_8_7_of_the_size_and_leaves_an_even_border(size, side):
    assert FolderOptions(image_size=size).side == side
    assert (side - size) % 4 == 0  # rounding to the even gives the same centre in one step as in two


def test_parts_are_taken_without_reading(root, monkeypatch):
    data = load(root)
    monkeypatch.setattr("yopo_ext.data.pixel_file.PixelFile.pixels", property(lambda self: pytest.fail("read")))
    monkeypatch.setattr("yopo_ext.data.stored_images.StoredPixels.shape", property(lambda self: (len(self), 3, 8, 8)))
    monkeypatch.setattr("yopo_ext.data.stored_images.StoredPixels.dim", lambda self: 4)
    train, held_out = split_held_out(data.train, 4)
    assert (len(train), held_out.labels.bincount().tolist()) == (8, [2, 2])
    assert sum(len(train.shard(rank, 3)) for rank in range(3)) == 8
    assert [len(train.take(count)) for count in (3, 99)] == [3, 8]


def test_a_part_holds_the_images_it_names(root):
    images = load(root).train
    part = images.select(torch.tensor([7, 0])).select(torch.tensor([1, 0]))
    assert torch.equal(part.images[:], images.images[torch.tensor([0, 7])])
    assert part.labels.tolist() == [0, 1]
    assert part.class_names == ("cat", "dog")


def test_chosen_classes_have_the_order_given(root):
    write_image(root / "train" / "eel" / "0.png")
    data = load(root, classes=("eel", "cat"), broken_images="skip")
    assert data.train.class_names == ("eel", "cat")
    assert data.train.labels.bincount().tolist() == [1, 6]
    assert data.test.labels.tolist() == [1, 1, 1]
    with pytest.raises(DataFileError, match="found no class folder cow, expected classes of these: cat, dog, eel"):
        load(root, classes=("cow", "cat"))


def test_unicode_names_in_either_form_are_one_class(tmp_path):
    for name, part in (("caf\u00e9", "train"), ("cafe\u0301", "val"), ("猫", "train"), ("猫", "val")):
        write_image(tmp_path / part / name / "ü – 1.png")
    assert load(tmp_path).test.class_names == ("caf\u00e9", "猫")
    write_image(tmp_path / "train" / "cafe\u0301" / "2.png")
    with pytest.raises(DataFileError, match="two folders named 'café' in different Unicode forms"):
        load(tmp_path)


def test_links_and_nested_folders_are_followed_and_circles_are_not(root, tmp_path):
    (root / "train" / "cat").rename(tmp_path / "elsewhere")
    (root / "train" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "elsewhere")
    write_image(tmp_path / "elsewhere" / "below" / "deep.png")
    (root / "train" / "dog" / "linked.png").symlink_to(tmp_path / "elsewhere" / "00.png")
    assert load(root).train.labels.bincount().tolist() == [7, 7]


def test_hidden_files_and_folders_play_no_part(root):
    (root / "train" / ".DS_Store").write_bytes(b"\0")
    (root / "train" / "cat" / "._00.png").write_bytes(b"\0")
    write_image(root / "train" / ".cache" / "0.png")
    (root / "train" / "dog" / ".thumbnails").mkdir()
    (root / "train" / "dog" / ".thumbnails" / "0.png").write_text("")
    assert len(load(root).train) == 12


BROKEN = {
    "a text file": (lambda cat: (cat / "notes.txt").write_text("names"), r"cat/notes.txt \(no image\)", 12),
    "zero bytes": (lambda cat: (cat / "03.png").write_bytes(b""), r"cat/03.png \(empty\)", 11),
    "truncated": (
        lambda cat: (cat / "03.png").write_bytes((cat / "03.png").read_bytes()[:200]), r"cat/03.png \(.*trunc", 11,
    ),
    "a link to nothing": (lambda cat: (cat / "a.png").symlink_to("gone"), r"cat/a.png \(a link to nothing\)", 12),
    "no class folder": (lambda cat: write_image(cat.parent / "a.png"), r"a.png \(lies in no class folder\)", 12),
    "an undecodable name": (
        lambda cat: (cat / os.fsdecode(b"\xff.png")).write_bytes(b""), r"cat/\\udcff.png \(empty\)", 12,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_broken_is_refused_by_name_or_left_out(root, kind, capsys):
    damage, message, left = BROKEN[kind]
    damage(root / "train" / "cat")
    with pytest.raises(
        DataFileError, match=rf"train: found 1 that are no images of a class: {message}.* or --broken-im"
    ):
        load(root)
    data = load(root, broken_images="skip")
    assert "left out 1: " in capsys.readouterr().err
    assert (len(data.train), len(data.test)) == (left, 6)
    assert all(image.any() for image in data.train.images[:])
    assert data.train.labels.bincount().tolist() == [left - 6, 6]


def test_an_empty_class_folder(root):
    (root / "val" / "cat" / "00.png").unlink()
    for name in ("01", "02"):
        (root / "val" / "cat" / f"{name}.png").unlink()
    with pytest.raises(DataFileError, match=r"val: found 1 .*: cat \(a class folder without files\)"):
        load(root)
    assert load(root, broken_images="skip").test.labels.tolist() == [1, 1, 1]
    (root / "train" / "eel").mkdir()
    (root / "val" / "eel").mkdir()
    with pytest.raises(DataFileError, match="no image of class eel that can be read"):
        load(root, broken_images="skip")


def test_classes_that_differ(root):
    write_image(root / "val" / "eel" / "0.png")
    for choice in ("refuse", "skip"):  # there is no label for it
        with pytest.raises(DataFileError, match="val: found class folders eel, expected those of train: cat, dog"):
            load(root, broken_images=choice)
    write_image(root / "train" / "eel" / "0.png")
    write_image(root / "train" / "fox" / "0.png")
    with pytest.raises(DataFileError, match=r"val: found 1 .*: fox \(no such class folder\)"):
        load(root)
    assert load(root, broken_images="skip").test.num_classes == 4


@pytest.mark.parametrize(("build", "message"), [
    (lambda root: write_image(root / "train" / "0.png"), "train: found no folders in it, expected a folder of images"),
    (lambda root: write_image(root / "train" / "cat" / "0.png"), "1 class folder, cat, expected two classes at least"),
    (lambda root: (root / "train" / "cat").mkdir(parents=True) or (root / "train" / "dog").mkdir(),
     "train: found no files in its class folders"),
    (lambda root: write_image_folder(root) and (root / "val").rename(root / "valid"), "neither val nor test"),
    (lambda root: write_image_folder(root) and write_image(root / "test" / "cat" / "0.png"), "both val and test"),
    (lambda root: write_image(root / "cat" / "0.png"), "neither val nor test"),
])  # fmt: skip
def test_folders_of_another_layout(tmp_path, build, message):
    (tmp_path / "val").mkdir(exist_ok=True) if "train" in message or "expected two" in message else None
    build(tmp_path)
    with pytest.raises(DataFileError, match=message):
        load(tmp_path)


def test_the_test_folder_can_be_named(root):
    (root / "val").rename(root / "holdout")
    assert len(load(root, test_folder="holdout").test) == 6
    with pytest.raises(DataFileError, match="nowhere: found no such folder"):
        load(root, test_folder="nowhere")


def test_test_images_alone_need_no_training_images(root):
    options = FolderOptions(image_size=8, classes=("dog", "cat"), decode_workers=0)
    (root / "train").rename(root / "moved")
    images = load_test_images("folder", root, options)
    assert images.class_names == ("dog", "cat")
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_what_options_are_refused():
    with pytest.raises(ValueError, match="resize: got 7, expected at least image_size, 8"):
        FolderOptions(image_size=8, resize=7)
    with pytest.raises(ValueError, match="classes: got a, a, expected each once"):
        FolderOptions(classes=("a", "a"))
    with pytest.raises(ValueError, match="broken_images: got 'maybe', expected one of refuse, skip"):
        FolderOptions(broken_images="maybe")
