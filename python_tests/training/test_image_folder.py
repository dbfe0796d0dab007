# SPDX-License-Identifier: MIT
"""Runs on an image folder: trained, interrupted, resumed bit for bit, measured as they were trained."""

import json
import shutil

import pytest
import torch
from image_files import write_image, write_image_folder

from yopo_ext.cli import main
from yopo_ext.data import DataFileError, StoredLoader
from yopo_ext.models import build_model
from yopo_ext.training import (
    Interrupted,
    Run,
    change_config,
    evaluate_run,
    load_checkpoint,
    make_config,
    open_run,
    open_weights,
    run_job,
)

METHODS = ["yopo-2-2", "pgd-2", "free-2", "fast", "trades-2", "trades-yopo-2-2", "natural", "n-fgsm"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_image_folder(tmp_path_factory.mktemp("images") / "set", train=14, test=4)


@pytest.fixture
def config(root):
    return make_config(
        dataset="folder", data_dir=str(root), image_size=8, model="preactresnet18", method="yopo-2-2", epochs=2,
        batch_size=8, lr=0.01, curve_steps=1, eval_steps=2, decode_workers=0, limit_train=20,
    )  # fmt: skip


def digits_cnn(config, **changes):
    return change_config(config, model="digits-cnn", **changes)


def weights(path):
    return load_checkpoint(path / "last.pt")["model"]


def equal(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_one_output_tells_two_classes_apart(tmp_path, config):
    """From the command line's settings to a measurement of the run."""
    config = digits_cnn(config, method="fast", objective="binary-cross-entropy")
    run_job(config, tmp_path, compare_natural=False, resume=False, show=False)
    subject = open_run(tmp_path)
    assert subject.model(torch.zeros(2, 3, 8, 8)).shape == (2, 1)
    assert evaluate_run(tmp_path).clean == json.loads((tmp_path / "summary.json").read_text())["fast"]["clean"]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_goes_on_bit_for_bit_inside_an_epoch(tmp_path, config, runs, method):
    config = digits_cnn(config, method=method, held_out=4, ewa_decay=0.5)
    whole = Run(config, tmp_path / "whole", show=False)
    assert isinstance(whole.trainer.batches, StoredLoader)
    whole.fit()
    for stop in (2, 3):
        part = Run(config, tmp_path / "part", show=False)
        if stop == 3:
            part.resume()
        with pytest.raises(Interrupted):
            part.trainer.fit(runs.stop_after(stop))
        assert part.trainer.position > 0
    last = Run(config, tmp_path / "part", show=False)
    last.resume()
    last.fit()
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "part"))
    assert [line["loss"] for line in whole.trainer.log] == [line["loss"] for line in last.trainer.log]


def test_a_batch_norm_network_of_any_size(tmp_path, config):
    run = Run(change_config(config, epochs=1, image_size=11, limit_train=9), tmp_path / "run", show=False)
    run.fit()
    assert 0 <= run.trainer.log[0]["clean"] <= 100


def command(root, out, *more):
    return ["train", "--dataset", "folder", "--data-dir", str(root), "--image-size", "8", "--model", "digits-cnn",
            "--method", "yopo-2-2", "--epochs", "1", "--batch-size", "8", "--curve-steps", "1", "--eval-steps", "2",
            "--out", str(out), *more]  # fmt: skip


def test_from_the_command_line_to_the_evaluation(tmp_path, root, capsys):
    out = tmp_path / "run"
    assert main(command(root, out, "--staleness-every", "1", "--seed", "3")) == 0
    assert json.loads((out / "config.json").read_text())["data"]["classes"] == ["cat", "dog"]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["classes"] == ["cat", "dog"]
    capsys.readouterr()
    assert main(["evaluate", str(out), "--losses", "ce", "--json", "--plots", str(tmp_path / "plots")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == ["cat", "dog"]
    assert found["clean"] == summary["yopo"]["clean"]
    assert found["robust"]["PGD-2, ce"] == summary["yopo"]["robust"]
    assert (tmp_path / "plots" / "examples.png").stat().st_size > 0
    assert main(["diagnose", str(out), "--json"]) == 0
    assert main(["cuts", str(out), "--n", "2", "--json"]) == 0
    assert main(["train", "--resume", str(out), "--epochs", "2"]) == 0
    assert main(["evaluate", "--transfer", str(out), str(out / "last.pt")]) == 2  # one file twice


def test_a_run_is_measured_with_its_own_classes_where_training_images_are_not(tmp_path, root, config):
    run = Run(digits_cnn(config, epochs=1), tmp_path / "run", show=False)
    run.fit()
    moved = tmp_path / "elsewhere"
    shutil.copytree(root / "val", moved / "test")
    write_image(moved / "test" / "bird" / "0.png")
    report = evaluate_run(tmp_path / "run", data_dir=str(moved))
    assert report.images == 8
    assert report.clean == evaluate_run(tmp_path / "run").clean
    shutil.rmtree(moved / "test" / "cat")
    with pytest.raises(DataFileError, match=r"cat \(no such class folder\)"):
        evaluate_run(tmp_path / "run", data_dir=str(moved))


def test_options_of_a_measured_run_are_its_own(tmp_path, config):
    Run(digits_cnn(config, epochs=1), tmp_path / "run", show=False).fit()
    with pytest.raises(ValueError, match="image_size: a run on folder has its own; it goes with --weights"):
        open_run(tmp_path / "run", source={"image_size": 9})
    assert len(open_run(tmp_path / "run", source={"decoded_dir": str(tmp_path / "made")}).images) == 8


def test_weights_of_others_are_measured_at_the_size_given(tmp_path, root):
    model = build_model("digits-cnn", in_channels=3, num_classes=2)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    subject = open_weights(
        tmp_path / "weights.pt", model="digits-cnn", dataset="folder", data_dir=str(root), source={"image_size": 8}
    )
    assert subject.images.images.shape == (8, 3, 8, 8)
    with pytest.raises(ValueError, match="takes 8x8 images, these are 224x224"):
        open_weights(tmp_path / "weights.pt", model="digits-cnn", dataset="folder", data_dir=str(root))


def test_broken_files_are_found_before_a_run_has_begun(tmp_path, root, capsys):
    copy = tmp_path / "set"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".decoded"))
    (copy / "val" / "dog" / "00.png").write_bytes(b"")
    assert main(command(copy, tmp_path / "run")) == 2
    assert "val: found 1 that are no images of a class: dog/00.png (empty), expected" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main(command(copy, tmp_path / "run", "--broken-images", "skip")) == 0


def test_settings_of_the_folder_belong_to_it():
    with pytest.raises(ValueError, match="image_size: dataset digits has no such setting; it belongs to folder"):
        make_config(image_size=8)
    folder = make_config(dataset="folder", image_size=8, classes=("a", "b"))
    assert folder["image_size"] == folder.to_dict()["data"]["image_size"] == 8
    assert "image_size" not in change_config(folder, dataset="digits").settings()
