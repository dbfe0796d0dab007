# SPDX-License-Identifier: MIT
"""`yopo evaluate`: from the command line to what is printed and drawn."""

import json
from functools import partial

import pytest
import torch

from yopo_ext.training import load_checkpoint, make_config, run_job
from yopo_ext.training.files import save_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = make_config(
        method="natural", epochs=2, batch_size=32, limit_train=900, limit_eval=40, curve_every=9, curve_steps=1,
        eval_steps=2, eval_alpha=0.05, lr=0.1, keep_epochs=True, eps=0.15,
    )  # fmt: skip
    run_job(config, folder, compare_natural=False, resume=False, show=False)
    return folder


@pytest.fixture
def weights(folder, tmp_path):
    path = tmp_path / "w.pt"
    torch.save({f"module.{name}": value for name, value in load_checkpoint(folder)["model"].items()}, path)
    return path


@pytest.fixture
def evaluate(command):
    return partial(command, "evaluate", "--device", "cpu")  # which is not said then


def report(evaluate, *arguments):
    status, out, err = evaluate(*arguments, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def test_options_reach_the_attacks(evaluate, folder):
    found = report(
        evaluate, folder, "--attacks", "clean", "fgsm", "pgd", "--losses", "margin", "dlr", "--steps", 2,
        "--restarts", 3, "--alpha", "4/255", "--eps", "8/255", "--norm", "l2", "--seed", 5, "--limit", 9,
        "--targeted", "next", "random",
    )  # fmt: skip
    assert found["images"] == 9
    labels = ["FGSM, margin", "FGSM, dlr"]
    labels += [f"PGD-2 x 3 restarts, {loss}" for loss in ("margin", "dlr")]
    labels += [
        f"PGD-2 x 3 restarts, {loss}, targets: {kind}" for kind in ("next", "random") for loss in ("margin", "dlr")
    ]
    assert list(found["attacks"]) == labels
    assert all((one["norm"], one["eps"], one["seed"]) == ("l2", 8 / 255, 5) for one in found["attacks"].values())
    assert [one["alpha"] for one in found["attacks"].values()] == [8 / 255] * 2 + [4 / 255] * 6
    assert set(found["targeted_success"]) == set(labels[4:])


def test_without_options_it_is_the_runs_own_measurement_with_two_losses(evaluate, folder):
    found = report(evaluate, folder)
    assert list(found["attacks"]) == ["PGD-2, ce", "PGD-2, margin"]
    assert [one["alpha"] for one in found["attacks"].values()] == [0.05, 0.05]
    assert (found["eps"], found["norm"], found["sweeps"], found["transfer"]) == (0.15, "linf", [], None)
    summary = json.loads((folder / "summary.json").read_text())["natural"]
    assert summary == {**summary, "clean": found["clean"], "robust": found["robust"]["PGD-2, ce"]}


@pytest.mark.parametrize(
    ("words", "steps", "alpha"),
    [
        ([], 2, 0.05), (["--steps", 3], 3, 0.125), (["--eps", 0.3], 2, 0.375), (["--norm", "l2"], 2, 0.1875),
        (["--alpha", 0.01], 2, 0.01), (["--steps", 2], 2, 0.05), (["--steps", 3, "--alpha", 0.05], 3, 0.05),
    ],
)  # fmt: skip
def test_the_runs_step_size_goes_with_its_steps_eps_and_norm(evaluate, folder, words, steps, alpha):
    found = report(evaluate, folder, "--limit", 5, "--losses", "ce", *words)
    (attack,) = found["attacks"].values()
    assert (attack["steps"], attack["alpha"]) == (steps, pytest.approx(alpha))


def test_what_is_swept_has_a_step_size_that_follows(evaluate, folder):
    common = ["--losses", "ce", "--attacks", "pgd", "--sweep-eps", "0.3"]
    follows, given = (
        report(evaluate, folder, *common, *more)["sweeps"][0]["curves"] for more in ([], ["--alpha", 0.05])
    )
    assert follows["PGD-2, ce"][0] < given["PGD-2, ce"][0]
    direct = report(evaluate, folder, "--losses", "ce", "--eps", 0.3)
    assert direct["robust"]["PGD-2, ce"] == follows["PGD-2, ce"][0]


@pytest.mark.parametrize(
    "words",
    [
        ["--attacks", "pgd"], ["--losses", "ce"], ["--attacks", "fgsm", "pgd", "--losses", "margin", "ce"],
        ["--targeted", "next"], ["--sweep-eps", "0", "8/255"], ["--sweep-steps", "1", "2"],
    ],
)  # fmt: skip
def test_the_folder_may_follow_a_list(evaluate, folder, words):
    common = ["--limit", 5, "--steps", 1]
    assert report(evaluate, *common, *words, folder) == report(evaluate, folder, *common, *words)


def test_a_misspelt_value_is_still_named(evaluate, folder):
    status, _, err = evaluate(folder, "--attacks", "fgsm", "pdg")
    assert (status, err.count("\n")) == (2, 1)
    assert "invalid choice: 'pdg'" in err
    assert "nowhere/run: no such checkpoint" in evaluate("--attacks", "fgsm", "nowhere/run")[2]


def test_lists_know_their_words():
    from yopo_ext.cli.attack_options import list_words
    from yopo_ext.evaluation.losses import ATTACK_LOSSES
    from yopo_ext.evaluation.targets import TARGETS

    assert all(map(list_words()["--losses"], ATTACK_LOSSES))
    assert all(map(list_words()["--targeted"], TARGETS))
    assert not list_words()["--losses"]("runs/NAME")


def test_clean_only(evaluate, folder):
    found = report(evaluate, folder, "--attacks", "clean")
    assert (found["robust"], found["images"]) == ({}, 40)


def test_sweeps_transfer_and_pictures(evaluate, folder, tmp_path):
    arguments = [
        folder, "--steps", 1, "--losses", "ce", "--sweep-eps", "0", "8/255", "--sweep-steps", 1, 2, "--transfer",
        folder / "epochs", "--plots", tmp_path / "plots",
    ]  # fmt: skip
    status, out, err = evaluate(*arguments)
    assert (status, err) == (0, "")
    assert r"crafted on \ measured on" in out
    assert "clean" in out.splitlines()[2]
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "examples.png", "eps.png", "steps.png", "transfer.png"
    }  # fmt: skip
    found = report(evaluate, *arguments)
    assert [one["values"] for one in found["sweeps"]] == [[0.0, 8 / 255], [1, 2]]
    assert found["transfer"]["names"] == ["epoch 1", "epoch 2"]


def test_the_average_or_the_last_weights(evaluate, folder, tmp_path):
    state = load_checkpoint(folder)
    average = {f"module.{name}": torch.zeros_like(value) for name, value in state["model"].items()}
    save_checkpoint(tmp_path / "last.pt", state | {"events": {"averaging": average}})
    arguments = ["--attacks", "clean", "--limit", 40]
    last = report(evaluate, folder, *arguments)["clean"]
    assert report(evaluate, tmp_path, *arguments, "--weights-of", "last")["clean"] == last > 20
    assert report(evaluate, tmp_path, *arguments)["clean"] < 20  # one class for all
    matrices = [report(evaluate, "--transfer", one, folder / "epochs" / "001.pt", "--steps", 1, *given)["transfer"]
                for one, given in ((tmp_path, ["--weights-of", "last"]), (folder, []))]  # fmt: skip
    assert matrices[0]["accuracy"] == matrices[1]["accuracy"]


def test_a_transfer_matrix_alone(evaluate, folder):
    found = report(evaluate, "--transfer", folder, folder / "epochs" / "001.pt", "--steps", 1, "--restarts", 2)
    assert found["transfer"]["names"] == ["run", "epoch 1"]
    assert found["transfer"]["attack"]["restarts"] == 1
    assert "clean" not in found


def test_weights_of_others(evaluate, folder, weights):
    arguments = ["--weights", weights, "--model", "digits-cnn", "--dataset", "digits", "--limit", 40]
    ours = report(evaluate, folder, "--steps", 1)
    assert report(evaluate, *arguments, "--eps", 0.15, "--steps", 1)["robust"] == ours["robust"]
    assert report(evaluate, *arguments, "--attacks", "clean")["clean"] == ours["clean"]
    normalised = report(evaluate, *arguments, "--attacks", "clean", "--mean", 0.9, "--std", 0.1, "--activation", "tanh")
    assert normalised["clean"] != ours["clean"]


def test_surplus_keys_of_weights(evaluate, weights, tmp_path):
    path, zero = tmp_path / "more.pt", torch.zeros(1)
    state = torch.load(weights)
    torch.save(state | {"module.aux.bias": zero, "module.aux.weight": zero, "module.total_ops": zero}, path)
    arguments = ["--weights", path, "--model", "digits-cnn", "--dataset", "digits", "--limit", 40, "--attacks", "clean"]
    status, out, err = evaluate(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.endswith("--ignore-keys aux.* (ignore=)\n")
    status, out, err = evaluate(*arguments, "--ignore-keys", "aux.*", "--json")
    assert (status, err) == (0, f"yopo: warning: {path}: left out total_ops, no part of the network\n")
    ours = report(evaluate, "--weights", weights, *arguments[2:])
    assert json.loads(out)["clean"] == ours["clean"]
    torch.save(state | {"module.mu": torch.tensor([0.9]), "module.sigma": torch.tensor([0.1])}, path)
    status, out, err = evaluate(*arguments, "--json")
    assert err == f"yopo: warning: {path}: mu and sigma normalise the images: mean (0.9) and std (0.1)\n"
    explicit = report(evaluate, "--weights", weights, *arguments[2:], "--mean", 0.9, "--std", 0.1)
    assert json.loads(out)["clean"] == explicit["clean"] != ours["clean"]


def test_a_doubt_is_one_line_on_stderr(evaluate, tmp_path):
    from yopo_ext.data import load_dataset, to_float
    from yopo_ext.models import build_model

    data = load_dataset("digits").train
    torch.manual_seed(0)
    model = build_model("digits-cnn", in_channels=1, num_classes=10)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    x = (to_float(data.images) - 0.9) / 0.1  # far from what it will be given
    for index in torch.randperm(len(x))[:1024].split(64):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x[index]), data.labels[index]).backward()
        optimizer.step()
    torch.save(model.state_dict(), tmp_path / "w.pt")
    arguments = ["--weights", tmp_path / "w.pt", "--model", "digits-cnn", "--dataset", "digits", "--attacks", "clean"]
    status, _, err = evaluate(*arguments)
    assert status == 0
    assert err.startswith("yopo: warning: the network is right on")
    assert err.count("\n") == 1


def test_ctrl_c_is_one_line(evaluate, folder, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("yopo_ext.training.run_evaluation", interrupted)
    assert evaluate(folder) == (130, "", "yopo: interrupted\n")


def test_detectors_beside_attacks_and_weights_of_others(evaluate, folder, weights, tmp_path):
    asked = ["--detectors", "confidence", "k-density", "--fit-images", 80, "--kde-bandwidth", 2, "--adaptive-steps", 2]
    words = ["--attacks", "bim", "ilcm", "--bim-steps", 2, "--limit", 30, *asked, "--false-alarms", 0.2]
    status, out, _ = evaluate(folder, *words, "--json", "--plots", tmp_path / "plots")
    assert status == 0
    found = json.loads(out)
    assert list(found["robust"]) == ["BIM-2, ce", "ILCM-2, ce"]
    rows = [(row["attack"], row["detector"]) for row in found["detection"]["rows"]]
    assert rows[:2] == [("BIM-2, ce", "confidence"), ("BIM-2, ce", "K-density")]
    assert rows[-1] == ("adaptive PGD-2 on K-density", "K-density")
    assert found["detection"]["false_alarms"] == 0.2
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"examples.png", "features.png"}
    given = ["--weights", weights, "--model", "digits-cnn", "--dataset", "digits", "--eps", 0.15]
    status, out, _ = evaluate(*given, *words, "--json")
    assert status == 0
    theirs = json.loads(out)["detection"]
    assert theirs["clean"].keys() == found["detection"]["clean"].keys()
    assert "AUROC %" in evaluate(folder, *words)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected a checkpoint, --weights or --transfer"),
        (["RUN", "--weights", "w.pt"], "a checkpoint and --weights: expected one of them"),
        (["RUN", "--model", "smallcnn"], "--model goes with --weights"),
        (["RUN", "--mean", "0.5"], "--mean goes with --weights"),
        (["--weights", "WEIGHTS"], "--weights needs --model"),
        (["--weights", "WEIGHTS", "--model", "digits-cnn"], "--weights needs --dataset"),
        (["--weights", "WEIGHTS", "--model", "digits-cnn", "--dataset", "digits"], "--weights needs --eps"),
        (["RUN", "--ignore-keys", "x"], "--ignore-keys goes with --weights"),
        (
            ["--weights", "WEIGHTS", "--model", "digits-cnn", "--dataset", "digits", "--weights-of", "last"],
            "--weights-of: goes with a checkpoint",
        ),
        (
            ["--weights", "WEIGHTS", "--model", "smallcnn", "--dataset", "digits", "--eps", "1"],
            "'smallcnn' takes 28x28 images",
        ),
        (
            ["--weights", "gone.pt", "--model", "digits-cnn", "--dataset", "digits", "--eps", "1"],
            "gone.pt: no such file",
        ),
        (["RUN", "--attacks", "vw"], "argument --attacks: invalid choice: 'vw'"),
        (
            ["RUN", "--attacks", "fgsm", "--steps", "5"],
            "pgd or pgd-targeted, which is not asked for",
        ),
        (["RUN", "--attacks", "clean", "--losses", "ce"], "--losses: goes with --attacks fgsm or pgd or pgd-targeted"),
        (["RUN", "--losses", "kl"], "losses: got ('kl',), expected several, each one of ce, margin, dlr"),
        (["RUN", "--targeted", "nearest"], "targeted: got ('nearest',), expected several, each one of all, next"),
        (["RUN", "--norm", "l1"], "argument --norm: invalid choice: 'l1'"),
        (["RUN", "--eps", "-1"], "eps: got -1.0"),
        (["RUN", "--alpha", "nan"], "alpha: got nan"),
        (["RUN", "--steps", "0"], "steps: got 0, expected a whole number of at least 1"),
        (["RUN", "--limit", "0"], "--limit: got 0, expected at least 1"),
        (["RUN", "--batch-size", "0"], "--batch-size: got 0, expected at least 1"),
        (["RUN", "--sweep-eps", "-0.1"], "eps: got -0.1"),
        (["RUN", "--sweep-steps", "0"], "steps: got 0"),
        (["RUN", "--sweep-steps", "1.5"], "argument --sweep-steps: invalid int value: '1.5'"),
        (["RUN", "--attacks", "clean", "--sweep-eps", "0.1"], "at least one value and one attack"),
        (["RUN", "--attacks", "clean", "--plots", "p"], "plots: nothing to draw"),
        (["RUN", "--plots", "RUN/last.pt"], "File exists"),
        (["RUN", "--transfer", "RUN"], "at least two networks, got 1"),
        (["RUN", "--transfer", "RUN", "RUN"], "networks to compare must differ"),
        (["RUN", "--transfer", "RUN", "nowhere"], "nowhere: no such checkpoint"),
        (["--transfer", "RUN/epochs", "--autoattack"], "--transfer alone makes the matrix only"),
        (["--transfer", "RUN/epochs", "--attacks", "fgsm"], "--transfer alone makes the matrix only"),
        (["--transfer", "."], "holds neither last.pt nor an epoch's checkpoint"),
        (["RUN", "--autoattack"], "pip install 'yopo-ext[autoattack]'"),
        (["RUN", "--detectors", "nose"], "argument --detectors: invalid choice: 'nose'"),
        (["RUN", "--fit-images", "9"], "--fit-images: goes with --detectors, which are not asked for"),
        (["RUN", "--kde-images", "9"], "--kde-images: goes with --detectors k-density, which is not asked for"),
        (["RUN", "--detectors", "lid", "--fit-images", "90"], "images: got 90 to fit LID on, expected at least 102"),
        (["RUN", "--detectors", "lid", "--lid-neighbours", "200"], "lid_neighbours: got 200, expected 2 to 100"),
        (["RUN", "--detectors", "non-me", "--fit-images", "0"], "fit_images: got 0, expected at least 1"),
        (["RUN", "--detectors", "non-me", "--false-alarms", "2"], "false_alarms: got 2.0, expected a share above 0"),
        (
            ["RUN", "--detectors", "non-me", "--adaptive-steps", "-1"],
            "steps: got -1, expected a whole number of at least 1",
        ),
        (["--transfer", "RUN/epochs", "--detectors", "non-me"], "--transfer alone makes the matrix only"),
        (["RUN", "RUN/epochs", "--detectors", "non-me"], "--detectors: goes with one checkpoint"),
    ],
    ids=" ".join,
)
def test_wrong_input_is_one_line_and_status_2(evaluate, folder, weights, tmp_path, monkeypatch, arguments, message):
    monkeypatch.setitem(__import__("sys").modules, "pyautoattack", None)
    monkeypatch.chdir(tmp_path)
    given = [text.replace("RUN", str(folder)).replace("WEIGHTS", str(weights)) for text in arguments]
    status, out, err = evaluate(*given)
    assert (status, out) == (2, "")
    assert err.startswith("yopo")
    assert err.count("\n") == 1
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["w.pt"]
