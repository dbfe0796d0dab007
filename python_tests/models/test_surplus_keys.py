# SPDX-License-Identifier: MIT
"""Published files hold more than the network's own keys."""

import warnings

import pytest
import torch

from yopo_ext.models import MnistCNN, SmallCNN, WeightsError, WeightsWarning, WideResNet, load_weights


def network():
    torch.manual_seed(4)
    return WideResNet(depth=10, widen_factor=1)


def loaded(path, surplus, model=None, **options):
    """The network filled from a file with more keys than it has; the other one's weights are in it."""
    torch.save(
        {"state_dict": {f"module.{key}": value for key, value in (network().state_dict() | surplus).items()}}, path
    )
    model = model or WideResNet(depth=10, widen_factor=1)
    load_weights(model, path, **options)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in network().state_dict().items())
    return model


def sub_block():
    block = network().block1.state_dict()
    return {f"sub_block1.{key}": value for key, value in block.items()}


def test_trades_network_loads_without_the_stage_it_never_calls(tmp_path):
    with pytest.warns(WeightsWarning, match=r"w.pt: left out sub_block1.* and \d+ more, no part of the network"):
        loaded(tmp_path / "w.pt", sub_block())


def test_no_other_network_drops_it(tmp_path):
    torch.save(MnistCNN().state_dict() | sub_block(), tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"unexpected sub_block1.*: --ignore-keys sub_block1\.\* \(ignore=\)$"):
        load_weights(MnistCNN(), tmp_path / "w.pt")


def test_what_tools_leave_behind_is_left_out_with_a_word(tmp_path):
    zero = torch.zeros(1)
    surplus = {"total_ops": zero, "total_params": zero, "conv1.total_ops": zero, "block1.layer.0.total_params": zero}
    with pytest.warns(WeightsWarning, match="left out total_ops, total_params, conv1.total_ops, block1"):
        loaded(tmp_path / "w.pt", surplus)


def test_averaged_weights(tmp_path):
    averaged = torch.optim.swa_utils.AveragedModel(network())
    torch.save(averaged.state_dict(), tmp_path / "w.pt")
    model = WideResNet(depth=10, widen_factor=1)
    with pytest.warns(WeightsWarning, match="left out n_averaged, no part"):
        load_weights(model, tmp_path / "w.pt")
    assert torch.equal(model.fc.weight, averaged.module.fc.weight)


def test_a_pattern_ignores_what_the_network_lacks(tmp_path):
    surplus = {"aux.fc.weight": torch.zeros(3), "aux.fc.bias": torch.zeros(3), "temperature": torch.ones(())}
    with pytest.raises(WeightsError, match=r"unexpected aux.*: --ignore-keys aux\.\* temperature \(ignore=\)$"):
        loaded(tmp_path / "w.pt", surplus)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded(tmp_path / "w.pt", surplus, ignore=["aux.*", "temperature"])
    with pytest.raises(WeightsError, match=r"unexpected temperature; if"):
        loaded(tmp_path / "w.pt", surplus, ignore=["aux.*"])


@pytest.mark.parametrize("pattern", ["axu.*", "fc.weight", "*.bn1.*"])
def test_a_pattern_that_matches_nothing_surplus_is_refused(tmp_path, pattern):
    """Mistyped, or of the network's own keys, which would stay as they were initialised."""
    message = r"\(--ignore-keys, ignore=\) matches no key that the network lacks; it lacks aux.weight$"
    with pytest.raises(WeightsError, match=message):
        loaded(tmp_path / "w.pt", {"aux.weight": torch.zeros(3)}, ignore=[pattern])


MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)
FORMS = {
    "mu and sigma": {"mu": torch.tensor(MEAN).view(1, 3, 1, 1), "sigma": torch.tensor(STD).view(1, 3, 1, 1)},
    "mean and std": {"mean": torch.tensor(MEAN), "std": torch.tensor(STD)},
    "a module": {"normalize.mean": torch.tensor(MEAN), "normalize.std": torch.tensor(STD).view(3, 1, 1)},
    "robustness": {"normalizer.new_mean": torch.tensor(MEAN).double(), "normalizer.new_std": torch.tensor(STD)},
    "twice": {
        "mu": torch.tensor(MEAN), "sigma": torch.tensor(STD), "n.mean": torch.tensor(MEAN), "n.std": torch.tensor(STD)
    },
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_normalisation_in_the_file_becomes_the_networks(tmp_path, form):
    with pytest.warns(WeightsWarning, match=r"normalise the images: mean \(0.4914, 0.4822, 0.4465\) and std \(0.24"):
        model = loaded(tmp_path / "w.pt", FORMS[form]).eval()
    explicit = WideResNet(depth=10, widen_factor=1, mean=MEAN, std=STD).eval()
    explicit.load_state_dict(network().state_dict())
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(model(x), explicit(x))
    assert not torch.equal(model(x), network().eval()(x))
    assert len(model.first_layer) == 2
    assert model.state_dict().keys() == explicit.state_dict().keys()


def test_also_where_the_prefix_leaves_it_outside(tmp_path):
    state = {f"1.{key}": value for key, value in network().state_dict().items()}
    torch.save(state | {"0.mean": torch.tensor(MEAN), "0.std": torch.tensor(STD)}, tmp_path / "w.pt")
    model = WideResNet(depth=10, widen_factor=1)
    with pytest.warns(WeightsWarning, match="0.mean and 0.std normalise the images"):
        load_weights(model, tmp_path / "w.pt", prefix="1.")
    assert model.normalize.mean.tolist() == pytest.approx(MEAN)
    load_weights(model := network(), tmp_path / "w.pt", prefix="1.", ignore=["0.*"])
    assert model.normalize is None


def test_one_value_is_for_all_channels(tmp_path):
    with pytest.warns(WeightsWarning, match=r"mean \(0.5, 0.5, 0.5\) and std \(0.25, 0.25, 0.25\)"):
        loaded(tmp_path / "w.pt", {"mu": torch.tensor(0.5), "sigma": torch.tensor(0.25)})


def test_the_networks_own_normalisation_has_to_be_the_same(tmp_path):
    surplus = FORMS["mu and sigma"]
    rounded = WideResNet(depth=10, widen_factor=1, mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded(tmp_path / "w.pt", surplus, rounded)
    other = WideResNet(depth=10, widen_factor=1, mean=(0.5, 0.5, 0.5), std=STD)
    message = r"normalises with mean \(0.4914, .* the network with mean \(0.5, .*--ignore-keys mu sigma, ignore=\)"
    with pytest.raises(WeightsError, match=message):
        loaded(tmp_path / "w.pt", surplus, other)
    loaded(tmp_path / "w.pt", surplus, other, ignore=["mu", "sigma"])
    assert other.normalize.mean.tolist() == [0.5] * 3


@pytest.mark.parametrize(
    ("surplus", "message"),
    [
        ({"mu": torch.tensor(MEAN)}, "unexpected mu; if these"),
        ({"mu": torch.zeros(7), "sigma": torch.ones(7)}, "unexpected mu, sigma; if these"),
        ({"mu": 255 * torch.tensor(MEAN), "sigma": 255 * torch.tensor(STD)}, r"no normalisation of images in \[0, 1\]"),
        ({"mu": torch.zeros(3), "sigma": torch.zeros(3)}, r"no normalisation of images in \[0, 1\]"),
        ({"mu": torch.full((3,), torch.nan), "sigma": torch.ones(3)}, r"no normalisation of images in \[0, 1\]"),
        (FORMS["mean and std"] | {"mu": torch.zeros(3), "sigma": torch.ones(3)}, "holds two normalisations, mean"),
    ],
)
def test_what_cannot_be_a_normalisation_is_refused(tmp_path, surplus, message):
    torch.save(network().state_dict() | surplus, tmp_path / "w.pt")
    model = WideResNet(depth=10, widen_factor=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=message):
        load_weights(model, tmp_path / "w.pt")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.normalize is None


def test_a_network_without_a_place_for_it_says_so(tmp_path):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten())
    torch.save(model.state_dict() | FORMS["mu and sigma"], tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"no attribute 'normalize'.* put yopo_ext.models.Normalize before it"):
        load_weights(model, tmp_path / "w.pt")


def test_networks_of_grey_images(tmp_path):
    torch.save(SmallCNN().state_dict() | {"mean": torch.tensor([0.13]), "std": torch.tensor([0.31])}, tmp_path / "w.pt")
    model = SmallCNN()
    with pytest.warns(WeightsWarning, match="mean and std normalise the images"):
        load_weights(model, tmp_path / "w.pt")
    assert len(model.first_layer) == 3
