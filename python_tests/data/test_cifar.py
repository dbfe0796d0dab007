# SPDX-License-Identifier: MIT

import pickle

import numpy as np
import pytest
import torch
from image_files import (
    CIFAR100_RECORD,
    CIFAR_RECORD,
    cifar100_records,
    cifar_records,
    write_cifar10,
    write_cifar100,
    write_pickled_cifar10,
    write_pickled_cifar100,
)

from yopo_ext.data import DataFileError, cifar
from yopo_ext.data.cifar import (
    read_cifar10_file,
    read_cifar10_test,
    read_cifar10_train,
    read_cifar100_test,
    read_cifar100_train,
)
from yopo_ext.data.cifar_pickles import (
    read_pickled_cifar10_test,
    read_pickled_cifar10_train,
    read_pickled_cifar100_test,
    read_pickled_cifar100_train,
)


def write(path, records):
    records.tofile(path)
    return path


def refused(path, found, expected, read):
    with pytest.raises(DataFileError) as caught:
        read()
    assert caught.value.path == path
    for part in (str(path), found, expected):
        assert part in str(caught.value)


def test_planes_rows_and_labels(tmp_path):
    records = cifar_records(3)
    red, green, blue = 1, 1 + 1024, 1 + 2048
    records[2, red + 5 * 32 + 7], records[2, green + 6], records[2, blue + 1023] = 11, 12, 13
    images = read_cifar10_file(write(tmp_path / "a.bin", records))
    assert images.images.shape == (3, 3, 32, 32)
    assert images.images[2, 0, 5, 7] == 11
    assert images.images[2, 1, 0, 6] == 12
    assert images.images[2, 2, 31, 31] == 13
    assert images.labels.tolist() == [0, 1, 2]
    assert torch.equal(images.images.reshape(3, -1), torch.from_numpy(records[:, 1:]))


def test_the_five_training_files_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "IMAGES_PER_TRAIN_FILE", 4)
    write_cifar10(tmp_path, train=4, test=6)
    train, test = read_cifar10_train(tmp_path), read_cifar10_test(tmp_path)
    expected = torch.cat([torch.from_numpy(cifar_records(4, seed=index)[:, 1:]) for index in range(1, 6)])
    assert torch.equal(train.images.reshape(20, -1), expected)
    assert train.labels.tolist() == [0, 1, 2, 3] * 5
    assert len(test) == 6


def test_a_training_file_has_ten_thousand_images(tmp_path):
    write_cifar10(tmp_path, train=4, test=4)
    refused(
        tmp_path / "data_batch_1.bin",
        f"{4 * CIFAR_RECORD} bytes (4 records",
        f"{10_000 * CIFAR_RECORD} (10000 records)",
        lambda: read_cifar10_train(tmp_path),
    )


@pytest.mark.parametrize(("size", "found"), [(0, "0 bytes"), (100, "100 bytes"), (2 * CIFAR_RECORD - 1, "6145 bytes")])
def test_a_partial_record(tmp_path, size, found):
    path = tmp_path / "test_batch.bin"
    path.write_bytes(bytes(size))
    refused(path, found, "a whole number of 3073-byte records", lambda: read_cifar10_test(tmp_path))


def test_a_label_out_of_range(tmp_path):
    records = cifar_records(5)
    records[3, 0] = 255
    path = write(tmp_path / "test_batch.bin", records)
    refused(path, "label 255 in record 3", "0..9", lambda: read_cifar10_test(tmp_path))


@pytest.mark.parametrize("name", ["data_batch_1.bin", "data_batch_5.bin"])
def test_a_missing_file(tmp_path, monkeypatch, name):
    monkeypatch.setattr(cifar, "IMAGES_PER_TRAIN_FILE", 2)
    write_cifar10(tmp_path, train=2, test=2)
    (tmp_path / name).unlink()
    refused(tmp_path / name, "no such file", "a binary CIFAR-10 batch", lambda: read_cifar10_train(tmp_path))


def test_cifar100_has_two_labels_and_the_fine_one_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "CIFAR100_TRAIN_IMAGES", 7)
    write_cifar100(tmp_path, train=7, test=120)
    train, test = read_cifar100_train(tmp_path), read_cifar100_test(tmp_path)
    assert (train.num_classes, test.num_classes) == (100, 100)
    assert train.labels.tolist() == [99, 98, 97, 96, 95, 94, 93]
    assert sorted(set(test.labels.tolist())) == list(range(100))
    expected = torch.from_numpy(cifar100_records(7, seed=1)[:, 2:])
    assert train.images.shape == (7, 3, 32, 32)
    assert torch.equal(train.images.reshape(7, -1), expected)


def test_cifar100s_files_are_checked(tmp_path):
    write_cifar100(tmp_path, train=4, test=4)
    path = tmp_path / "train.bin"
    refused(path, f"{4 * CIFAR100_RECORD} bytes (4 records", "(50000 records)", lambda: read_cifar100_train(tmp_path))
    path = tmp_path / "test.bin"
    records = cifar100_records(5)
    records[2, :2] = 250, 100
    write(path, records)
    refused(path, "label 100 in record 2", "0..99", lambda: read_cifar100_test(tmp_path))
    path.write_bytes(bytes(CIFAR_RECORD))
    refused(path, "3073 bytes", "a whole number of 3074-byte records", lambda: read_cifar100_test(tmp_path))
    path.unlink()
    refused(path, "no such file", "a binary CIFAR-100 batch", lambda: read_cifar100_test(tmp_path))


VERSIONS = [{"protocol": None}, *({"protocol": number} for number in (2, 4, 5)), {"protocol": 4, "fortran": True}]


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_the_python_versions_hold_the_same_as_the_binary_ones(tmp_path, monkeypatch, version):
    monkeypatch.setattr(cifar, "IMAGES_PER_TRAIN_FILE", 4)
    monkeypatch.setattr(cifar, "CIFAR100_TRAIN_IMAGES", 7)
    for folder, cifar10, cifar100, options in (
        (tmp_path / "binary", write_cifar10, write_cifar100, {}),
        (tmp_path / "python", write_pickled_cifar10, write_pickled_cifar100, version),
    ):
        cifar10(folder, train=4, test=6, **options)
        cifar100(folder, train=7, test=5, **options)
    pairs = (
        (read_cifar10_train, read_pickled_cifar10_train),
        (read_cifar10_test, read_pickled_cifar10_test),
        (read_cifar100_train, read_pickled_cifar100_train),
        (read_cifar100_test, read_pickled_cifar100_test),
    )
    for binary, pickled in pairs:
        expected, found = binary(tmp_path / "binary"), pickled(tmp_path / "python")
        assert torch.equal(found.images, expected.images)
        assert torch.equal(found.labels, expected.labels)
        assert found.num_classes == expected.num_classes


PIXELS = np.zeros((3, 3072), np.uint8)


@pytest.mark.parametrize(
    ("content", "found", "expected"),
    [
        ({"data": PIXELS}, "a dict of data", "data and labels"),
        ({}, "a dict of nothing", "data and labels"),
        ({"data": PIXELS, "fine_labels": [0, 1, 2]}, "a dict of data, fine_labels", "data and labels"),
        ({"data": PIXELS, "labels": [0, 1]}, "2 labels", "3, as many as images"),
        ({"data": PIXELS, "labels": [0, 10, 2]}, "label 10 in record 1", "0..9"),
        ({"data": PIXELS, "labels": [0, 1, -1]}, "label -1 in record 2", "0..9"),
        ({"data": PIXELS, "labels": [0, 1, 2.0]}, "labels of type list", "a list of whole numbers"),
        ({"data": PIXELS, "labels": b"abc"}, "labels of type bytes", "a list of whole numbers"),
        ({"data": PIXELS[:, :-1], "labels": [0, 1, 2]}, "data (3, 3071) uint8", "(N, 3072) uint8"),
        ({"data": PIXELS / 255, "labels": [0, 1, 2]}, "data (3, 3072) float64", "(N, 3072) uint8"),
        ({"data": PIXELS[:0], "labels": []}, "data (0, 3072) uint8", "(N, 3072) uint8"),
        ({"data": [1], "labels": [0]}, "data of type list", "(N, 3072) uint8"),
    ],
)
def test_a_pickle_that_is_not_cifars(tmp_path, content, found, expected):
    path = tmp_path / "test_batch"
    path.write_bytes(pickle.dumps(content))
    refused(path, found, expected, lambda: read_pickled_cifar10_test(tmp_path))


def test_pickled_training_files_have_their_number_of_images(tmp_path):
    write_pickled_cifar10(tmp_path, train=4, test=4, protocol=2)
    path = tmp_path / "data_batch_1"
    refused(path, "data (4, 3072) uint8", "(10000, 3072) uint8", lambda: read_pickled_cifar10_train(tmp_path))
    path.unlink()
    refused(path, "no such file", "a pickled dict", lambda: read_pickled_cifar10_train(tmp_path))
