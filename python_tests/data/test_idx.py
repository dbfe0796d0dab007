# SPDX-License-Identifier: MIT

import gzip

import numpy as np
import pytest
import torch
from image_files import idx_bytes, images_and_labels, write_idx_set

from yopo_ext.data import DataFileError
from yopo_ext.data.idx import read_idx, read_idx_images

IMAGES, LABELS = images_and_labels(12, size=5)


def refused(path, found, expected, read):
    """Reading raises an error that names the file, what was found and what was expected."""
    with pytest.raises(DataFileError) as caught:
        read()
    assert caught.value.path == path
    assert found in caught.value.found
    assert expected in caught.value.expected
    for part in (str(path), found, expected):
        assert part in str(caught.value)


def write(folder, *, images=IMAGES, labels=LABELS):
    (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes(images))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels))


@pytest.mark.parametrize("gz", [False, True])
def test_values_and_order(tmp_path, gz):
    write_idx_set(tmp_path, "t10k", 11, gz=gz, seed=3)
    images, labels = images_and_labels(11, seed=3)
    read = read_idx_images(tmp_path, "t10k")
    assert torch.equal(read.images, torch.from_numpy(images)[:, None])
    assert torch.equal(read.labels, torch.from_numpy(labels).long())
    assert read.num_classes == 10


def test_an_array_of_one_dimension_can_be_written_to(tmp_path):
    (tmp_path / "a").write_bytes(idx_bytes(LABELS))
    values = read_idx(tmp_path / "a", 1)
    np.testing.assert_array_equal(values, LABELS)
    values += 1


@pytest.mark.parametrize(
    ("content", "found", "expected"),
    [
        (b"", "0 bytes", "header"),
        (b"\0\0\x08", "3 bytes", "header"),
        (idx_bytes(IMAGES)[:9], "9 bytes", "16 bytes"),
        (idx_bytes(IMAGES)[:-1], "299 bytes of data", "300 for the shape 12x5x5"),
        (idx_bytes(IMAGES) + b"\0", "301 bytes of data", "300 for the shape 12x5x5"),
        (idx_bytes(LABELS), "0x00000801", "0x00000803"),
        (b"\0\0\x0d\x03" + idx_bytes(IMAGES)[4:], "0x00000d03", "0x00000803"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "0x89504e47", "0x00000803"),
    ],
    ids=["empty", "no magic", "no header", "truncated", "too long", "labels", "floats", "picture"],
)
@pytest.mark.parametrize("gz", [False, True])
def test_malformed_content(tmp_path, content, found, expected, gz):
    path = tmp_path / ("images.gz" if gz else "images")
    path.write_bytes(gzip.compress(content) if gz else content)
    refused(path, found, expected, lambda: read_idx(path, 3))


@pytest.mark.parametrize("damage", ["truncated", "not gzip", "flipped bits"])
def test_malformed_gzip(tmp_path, damage):
    raw = gzip.compress(idx_bytes(IMAGES))
    middle = len(raw) // 2
    content = {
        "truncated": raw[:-20],
        "not gzip": idx_bytes(IMAGES),
        "flipped bits": raw[:middle] + bytes(255 - value for value in raw[middle : middle + 8]) + raw[middle + 8 :],
    }[damage]
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    refused(path, f"{len(content)} bytes", "a complete gzip file", lambda: read_idx(path, 3))


def test_another_number_of_labels(tmp_path):
    write(tmp_path, labels=LABELS[:-1])
    refused(
        tmp_path / "train-labels-idx1-ubyte",
        "11 labels",
        "12, as many as train-images-idx3-ubyte has",
        lambda: read_idx_images(tmp_path, "train"),
    )


def test_a_label_out_of_range(tmp_path):
    labels = LABELS.copy()
    labels[7] = 10
    write(tmp_path, labels=labels)
    path = tmp_path / "train-labels-idx1-ubyte"
    refused(path, "label 10 at index 7", "0..9", lambda: read_idx_images(tmp_path, "train"))


def test_no_images(tmp_path):
    write(tmp_path, images=IMAGES[:0], labels=LABELS[:0])
    path = tmp_path / "train-images-idx3-ubyte"
    refused(path, "0 images", "at least one", lambda: read_idx_images(tmp_path, "train"))


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
def test_a_missing_file(tmp_path, name):
    write(tmp_path)
    (tmp_path / name).unlink()
    refused(tmp_path / name, "no such file", name, lambda: read_idx_images(tmp_path, "train"))
