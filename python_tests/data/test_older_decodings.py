# SPDX-License-Identifier: MIT
"""Decoded images that no run finds any more go, unless somebody reads them, or they are not ours to remove."""

import gc
import os
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from image_files import write_image, write_image_folder

from yopo_ext.data import folder, pixel_file
from yopo_ext.data.decoding import decode
from yopo_ext.data.folder import FolderOptions
from yopo_ext.data.folder_listing import list_images
from yopo_ext.data.pixel_file import decoded

OPTIONS = FolderOptions(image_size=8, decode_workers=0)


@pytest.fixture
def root(tmp_path):
    return write_image_folder(tmp_path / "set", train=6, test=2)


def change(root):
    """One image is another."""
    path = root / "train" / list_images(root / "train").files[0]
    write_image(path, seed=int(path.stat().st_mtime_ns % 1000))
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 10**9))


def kept(place, part="train"):
    """Names without their ends, of pixels and of what is known of them."""
    names = {path.stem for path in place.glob(f"{part}-*.u8")}
    assert names == {path.stem for path in place.glob(f"{part}-*.json")}
    return names


def read(root, options=OPTIONS):
    """Reads a folder and lets go of it; how many files are kept then, and which."""
    sets = folder.read(root, options)
    assert sets[0].images.shape == (12, 3, 8, 8)
    del sets
    gc.collect()
    return kept(root / ".decoded")


def test_the_older_one_goes_when_the_new_one_is_there(root, capsys):
    before = read(root)
    capsys.readouterr()
    assert read(root) == before
    assert "removed" not in "".join(capsys.readouterr())
    change(root)
    after = read(root)
    assert len(before) == len(after) == 1
    assert before != after
    said = "".join(capsys.readouterr())
    assert f"removed {next(iter(before))}.u8 (" in said
    assert len(kept(root / ".decoded", "val")) == 1  # which have not changed


def test_what_a_run_reads_stays_until_it_has_ended(root, capsys):
    reading = folder.read(root, OPTIONS)[0]
    (older,) = kept(root / ".decoded")
    change(root)
    assert len(read(root)) == 2
    assert f"also holds {older}.u8" in (said := "".join(capsys.readouterr()))
    assert "a run still reads it" in said
    del reading
    gc.collect()
    newer = read(root)
    assert len(newer) == 1
    assert older not in newer


def test_what_is_being_decoded_stays(root, monkeypatch):
    """Of a run that began before the images changed."""

    def changed_meanwhile(path, side):
        if path.name == "05.png" and not seen:
            seen.append(path)
            change(root)
            with monkeypatch.context() as as_ever:
                as_ever.setattr(pixel_file, "decode", decode)
                folder.read(root, OPTIONS)
        return decode(path, side)

    seen = []
    monkeypatch.setattr(pixel_file, "decode", changed_meanwhile)
    monkeypatch.setattr(pixel_file, "_SAVE_EVERY", 0.0)
    monkeypatch.setattr(pixel_file, "_BATCH", 2)
    made = decoded(list_images(root / "train"), OPTIONS.side, root / ".decoded", 0)
    assert seen
    assert made.pixels.shape == (12, 3, 12, 12)
    assert len(kept(root / ".decoded")) == 2


def test_several_processes_remove_it_together(root):
    for _ in range(3):
        read(root)
        change(root)
        with ProcessPoolExecutor(2) as pool:
            assert list(pool.map(count, [root] * 2)) == [12, 12]
        assert len(read(root)) == 1


def count(root):
    return len(folder.read(root, OPTIONS)[0])


def test_what_was_chosen_otherwise_stays(root):
    place = root / ".decoded"
    read(root)
    for options in (FolderOptions(image_size=4, decode_workers=0),
                    FolderOptions(image_size=8, decode_workers=0, classes=("dog", "cat"))):  # fmt: skip
        folder.read(root, options)
    gc.collect()
    assert len(kept(place)) == 3
    change(root)
    assert len(read(root)) == 3  # one for one


def test_a_folder_of_ones_own_is_left_alone_and_another_data_set_everywhere(root, tmp_path, capsys):
    place = tmp_path / "shared"
    options = FolderOptions(image_size=8, decode_workers=0, decoded_dir=str(place))
    other = write_image_folder(tmp_path / "other", train=6, test=2)
    folder.read(root, options)
    (older,) = kept(place)
    folder.read(other, options)
    gc.collect()
    assert len(kept(place)) == 2
    capsys.readouterr()
    change(root)
    folder.read(root, options)
    assert len(kept(place)) == 3
    assert f"{place} also holds {older}.u8 (" in (said := "".join(capsys.readouterr()))
    assert "no run needs it any more: it can be removed" in said


def test_what_nobody_wrote_of_is_left_alone(root):
    (name,) = read(root)
    path = root / ".decoded" / f"{name}.json"
    path.write_text(path.read_text().replace('"of"', '"as of"'))
    change(root)
    assert len(read(root)) == 2


def test_another_process_maps_the_pixels_anew(tmp_path, root):
    file = decoded(list_images(root / "train"), 8, tmp_path / "made", 0)
    expected = np.array(file.pixels)
    sent = pickle.dumps(file)
    assert len(sent) < expected.nbytes
    assert (pickle.loads(sent).pixels == expected).all()
