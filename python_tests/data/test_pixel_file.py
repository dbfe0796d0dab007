# SPDX-License-Identifier: MIT
"""Decoded once: what is there is reused, what was cut off goes on, what changed is decoded anew."""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from image_files import write_image, write_image_folder

from yopo_ext.data import DataFileError, pixel_file
from yopo_ext.data.decoding import decode
from yopo_ext.data.folder_listing import list_images
from yopo_ext.data.pixel_file import decoded


@pytest.fixture
def listing(tmp_path):
    return list_images(write_image_folder(tmp_path / "set", train=20) / "train")


@pytest.fixture
def calls(monkeypatch):
    """Files that are decoded, in order; raises at a file of the name in ``calls.breaks_at``."""
    found = SimpleNamespace(names=[], breaks_at=None)

    def counted(path, side):
        found.names.append(os.path.relpath(path, path.parent.parent))
        if found.breaks_at is not None and len(found.names) > found.breaks_at:
            raise KeyboardInterrupt
        return decode(path, side)

    monkeypatch.setattr(pixel_file, "decode", counted)
    return found


def test_rows_are_the_files_in_their_order(tmp_path, listing):
    file = decoded(listing, 8, tmp_path / "made", 0)
    assert file.pixels.shape == (40, 3, 8, 8)
    assert file.broken == {}
    for row, name in enumerate(listing.files):
        assert (file.pixels[row] == decode(listing.folder / name, 8)).all()
    with pytest.raises(ValueError, match="read-only"):
        file.pixels[0] = 0


def test_worker_processes_make_the_same_file(tmp_path, monkeypatch, listing):
    monkeypatch.setattr(pixel_file, "_BATCH", 3)
    alone, shared = (decoded(listing, 8, tmp_path / str(workers), workers) for workers in (0, 2))
    assert (alone.pixels == shared.pixels).all()


def test_of_two_processes_that_ask_for_it_one_makes_it(tmp_path, listing):
    with ProcessPoolExecutor(2) as pool:
        made = list(pool.map(decoded, [listing] * 2, [8] * 2, [tmp_path / "made"] * 2, [0] * 2))
    assert (made[0].pixels == made[1].pixels).all()
    assert len(list((tmp_path / "made").glob("*.u8"))) == 1


def test_it_is_made_once(tmp_path, listing, calls, capsys):
    first = decoded(listing, 8, tmp_path, 0)
    assert len(calls.names) == 40
    said = capsys.readouterr().err
    assert "decoding 40 of 40 images of train (3.1e-05 of ImageNet) to 8x8: 7.68e-06 GB in" in said
    os.chmod(tmp_path, 0o555)  # a folder that only somebody else can write
    try:
        again = decoded(listing, 8, tmp_path, 0)
    finally:
        os.chmod(tmp_path, 0o755)
    assert len(calls.names) == 40
    assert (first.pixels == again.pixels).all()
    assert capsys.readouterr().err == ""


def test_it_goes_on_where_it_was_cut_off(tmp_path, monkeypatch, listing, calls):
    monkeypatch.setattr(pixel_file, "_BATCH", 4)
    monkeypatch.setattr(pixel_file, "_SAVE_EVERY", 0.0)
    (listing.folder / listing.files[2]).write_bytes(b"")
    listing = list_images(listing.folder)
    calls.breaks_at = 18
    with pytest.raises(KeyboardInterrupt):
        decoded(listing, 8, tmp_path, 0)
    calls.breaks_at, done = None, 16
    calls.names.clear()
    file = decoded(listing, 8, tmp_path, 0)
    assert calls.names == list(listing.files[done:])
    assert file.broken == {2: "empty"}
    for row, name in enumerate(listing.files):
        if row != 2:
            assert (file.pixels[row] == decode(listing.folder / name, 8)).all()


@pytest.mark.parametrize("damage", ["shorter", "gone", "no JSON"])
def test_a_file_that_is_not_what_was_written_is_made_again(tmp_path, listing, calls, damage):
    file = decoded(listing, 8, tmp_path, 0)
    expected = np.array(file.pixels)
    del file
    path = next(tmp_path.glob("*.u8"))
    if damage == "shorter":
        os.truncate(path, 100)
    elif damage == "gone":
        path.unlink()
    else:
        path.with_suffix(".json").write_text("{")
    assert (decoded(listing, 8, tmp_path, 0).pixels == expected).all()
    assert len(calls.names) == 80


@pytest.mark.parametrize("change", ["another image", "one more", "one less", "another size"])
def test_what_changed_is_decoded_anew(tmp_path, listing, calls, change):
    decoded(listing, 8, tmp_path, 0)
    path = listing.folder / listing.files[3]
    if change == "another image":
        write_image(path, seed=99)
        os.utime(path, ns=(1, 1))
    elif change == "one more":
        write_image(path.with_name("zz.png"))
    elif change == "one less":
        path.unlink()
    changed = list_images(listing.folder)
    calls.names.clear()
    decoded(changed, 9 if change == "another size" else 8, tmp_path, 0)
    assert len(calls.names) == len(changed)


def test_a_disk_without_room_is_refused_before_any_work(tmp_path, monkeypatch, listing, calls):
    monkeypatch.setattr(pixel_file.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(DataFileError, match=r"found 1e-06 GB free, expected 7.68e-06 GB for 40 decoded images of 8x8"):
        decoded(listing, 8, tmp_path, 0)
    assert calls.names == []
    assert list(tmp_path.glob("*.u8")) == []


def test_a_folder_that_cannot_be_made(tmp_path, listing):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match=r"taken.*cannot be written.*--decoded-dir names another folder"):
        decoded(listing, 8, tmp_path / "taken", 0)


def test_broken_files_are_kept_in_mind(tmp_path, listing):
    (listing.folder / listing.files[5]).write_text("no image")
    file = decoded(list_images(listing.folder), 8, tmp_path, 0)
    assert file.broken == {5: "no image"}
    assert decoded(list_images(listing.folder), 8, tmp_path, 0).broken == {5: "no image"}
    assert not file.pixels[5].any()
    assert json.loads(next(tmp_path.glob("*.json")).read_text())["broken"] == [[5, "no image"]]
