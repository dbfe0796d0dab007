# SPDX-License-Identifier: MIT

import pytest
import torch
from image_files import write_cifar10, write_cifar100, write_idx_set, write_pickled_cifar10, write_pickled_cifar100

from yopo_ext.data import DATASETS, DataFileError, cifar, load_dataset

FOLDERS = {"mnist": ("MNIST/raw", "mnist", "."), "fashion-mnist": ("FashionMNIST/raw", "fashion-mnist", ".")}


def test_digits():
    data = load_dataset("digits")
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert data.train.images.shape[1:] == (1, 8, 8)
    assert data.train.num_classes == 10
    assert data.train.images.min() == 0
    assert data.train.images.max() == 255
    assert len(data.train.images.unique()) == 17
    assert data.test.labels.bincount(minlength=10).min() >= 20


def test_digits_are_scikit_learns_each_once():
    from sklearn.datasets import load_digits

    published, data = load_digits(), load_dataset("digits")
    images = torch.cat([data.train.images, data.test.images]).flatten(1).float() * (16 / 255)
    labels = torch.cat([data.train.labels, data.test.labels])
    ours = torch.cat([images.round().long(), labels[:, None]], 1)
    theirs = torch.cat([torch.from_numpy(published.data).long(), torch.from_numpy(published.target)[:, None]], 1)
    assert sorted(ours.tolist()) == sorted(theirs.tolist())


def test_the_split_of_the_digits_never_changes():
    torch.manual_seed(5)
    first = load_dataset("digits")
    torch.manual_seed(6)
    again = load_dataset("digits")
    assert torch.equal(first.test.images, again.test.images)
    assert torch.equal(first.train.labels, again.train.labels)
    assert first.test.labels[:8].tolist() == [2, 4, 8, 4, 9, 6, 8, 7]


@pytest.mark.parametrize(
    ("name", "folder", "gz"),
    [(name, folder, gz) for name, folders in FOLDERS.items() for folder in folders for gz in (False, True)],
)
def test_idx_sets_nested_and_flat(tmp_path, name, folder, gz):
    write_idx_set(tmp_path / folder, "train", 7, gz=gz, seed=1)
    write_idx_set(tmp_path / folder, "t10k", 5, gz=gz, seed=2)
    data = load_dataset(name, tmp_path)
    assert (data.name, len(data.train), len(data.test)) == (name, 7, 5)
    assert data.train.images.shape == (7, 1, 28, 28)
    assert not torch.equal(data.train.images[:5], data.test.images)


def test_the_sets_do_not_take_each_others_folders(tmp_path):
    write_idx_set(tmp_path / "FashionMNIST" / "raw", "train", 3)
    write_idx_set(tmp_path / "FashionMNIST" / "raw", "t10k", 3)
    with pytest.raises(DataFileError, match="train-images-idx3-ubyte"):
        load_dataset("mnist", tmp_path)


@pytest.mark.parametrize("folder", ["cifar-10-batches-bin", "."])
def test_cifar10_nested_and_flat(tmp_path, monkeypatch, folder):
    monkeypatch.setattr(cifar, "IMAGES_PER_TRAIN_FILE", 2)
    write_cifar10(tmp_path / folder, train=2, test=3)
    data = load_dataset("cifar10", str(tmp_path))
    assert (len(data.train), len(data.test)) == (10, 3)
    assert (data.train.channels, data.train.image_size) == (3, 32)


@pytest.mark.parametrize("folder", ["cifar-100-binary", "."])
def test_cifar100_nested_and_flat(tmp_path, monkeypatch, folder):
    monkeypatch.setattr(cifar, "CIFAR100_TRAIN_IMAGES", 4)
    write_cifar100(tmp_path / folder, train=4, test=3)
    data = load_dataset("cifar100", str(tmp_path))
    assert (data.name, len(data.train), len(data.test)) == ("cifar100", 4, 3)
    assert not torch.equal(data.train.images[:3], data.test.images)


@pytest.mark.parametrize("folder", ["cifar-10-batches-py", "."])
def test_torchvisions_cifar10_nested_and_flat(tmp_path, monkeypatch, folder):
    monkeypatch.setattr(cifar, "IMAGES_PER_TRAIN_FILE", 2)
    write_pickled_cifar10(tmp_path / folder, train=2, test=3, protocol=None)
    data = load_dataset("cifar10", tmp_path)
    assert (len(data.train), len(data.test), data.train.num_classes) == (10, 3, 10)


@pytest.mark.parametrize("folder", ["cifar-100-python", "."])
def test_torchvisions_cifar100_nested_and_flat(tmp_path, monkeypatch, folder):
    monkeypatch.setattr(cifar, "CIFAR100_TRAIN_IMAGES", 4)
    write_pickled_cifar100(tmp_path / folder, train=4, test=3, protocol=None)
    data = load_dataset("cifar100", tmp_path)
    assert (len(data.train), len(data.test), data.train.num_classes) == (4, 3, 100)


def test_a_set_is_found_beside_folders_of_the_other_layout_that_lack_it(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "CIFAR100_TRAIN_IMAGES", 4)
    (tmp_path / "train").mkdir()  # as of an image folder
    with pytest.raises(DataFileError, match=r"found no train.bin or train, expected cifar-100-binary/train.bin or "):
        load_dataset("cifar100", tmp_path)
    write_pickled_cifar100(tmp_path / "cifar-100-python", train=4, test=3, protocol=2)
    assert len(load_dataset("cifar100", tmp_path).train) == 4


def test_a_test_file_is_missing(tmp_path):
    write_idx_set(tmp_path, "train", 3)
    with pytest.raises(DataFileError, match="t10k-images-idx3-ubyte: found no such file") as caught:
        load_dataset("mnist", tmp_path)
    assert caught.value.path == tmp_path / "t10k-images-idx3-ubyte"


@pytest.mark.parametrize("name", [name for name in DATASETS.names if name != "digits"])
def test_nothing_there(tmp_path, name):
    with pytest.raises(DataFileError, match=r"expected .* or ") as caught:
        load_dataset(name, tmp_path)
    assert caught.value.path == tmp_path
    with pytest.raises(DataFileError, match=f"found no such folder, expected the folder with the files of {name}"):
        load_dataset(name, tmp_path / "nowhere")
    with pytest.raises(ValueError, match="--data-dir"):
        load_dataset(name)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(
        ValueError,
        match=r"dataset: got 'imagenet', expected one of cifar10, cifar100, digits, folder, mnist, fashion-mnist$",
    ):
        load_dataset("imagenet")
