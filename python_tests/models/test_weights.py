# SPDX-License-Identifier: MIT

import pickle

import pytest
import torch
from torch import nn

from yopo_ext.models import MnistCNN, Normalize, PreActResNet18, WeightsError, WeightsWarning, load_weights


def other_weights():
    torch.manual_seed(4)
    return MnistCNN().state_dict()


def assert_loads(path, content, **options):
    torch.save(content, path)
    model = MnistCNN()
    load_weights(model, path, **options)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in other_weights().items())


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model", "net"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_published_forms(tmp_path, wrapper, prefix):
    state = {f"{prefix}{name}": value for name, value in other_weights().items()}
    content = (
        state
        if wrapper is None
        else {"epoch": 3, "best": 0.4, wrapper: state, "optimizer": {"lr": 1.0}, "rng": torch.zeros(9)}
    )
    assert_loads(tmp_path / "w.pt", content)


def test_a_network_inside_a_sequential(tmp_path):
    whole = nn.Sequential(Normalize([0.1], [0.3]), MnistCNN())
    whole[1].load_state_dict(other_weights())
    state = {**whole.state_dict(), "0.mean": torch.zeros(1), "0.std": torch.ones(1)}
    with pytest.warns(WeightsWarning, match="0.mean and 0.std normalise the images"):
        assert_loads(tmp_path / "w.pt", state, prefix="1.")
    with pytest.raises(WeightsError, match=r"all are there under the prefix '1\.': say so \(--prefix, prefix=\)"):
        load_weights(MnistCNN(), tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"no key begins with the prefix 'net\.'"):
        load_weights(MnistCNN(), tmp_path / "w.pt", prefix="net.")


def test_half_precision_and_missing_counters(tmp_path):
    with torch.device("meta"):
        names = PreActResNet18().state_dict()
    torch.manual_seed(0)
    state = {
        name: torch.rand(value.shape).half()
        for name, value in names.items()
        if not name.endswith("num_batches_tracked")
    }
    torch.save(state, tmp_path / "w.pt")
    model = PreActResNet18()
    load_weights(model, tmp_path / "w.pt")
    assert model.conv1.weight.dtype == torch.float32
    assert torch.equal(model.layer3[0].bn1.running_var, state["layer3.0.bn1.running_var"].float())


def complaint(path, change):
    state = other_weights()
    change(state)
    torch.save(state, path)
    model = MnistCNN()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert str(caught.value).startswith(f"{path}: does not fit the network: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_missing_unexpected_or_of_another_shape(tmp_path):
    path = tmp_path / "w.pt"
    assert complaint(path, lambda state: state.pop("7.bias")).endswith(": missing 7.bias")
    text = complaint(path, lambda state: state.update({"fc.bias": state.pop("7.bias"), "x": torch.zeros(())}))
    assert text.endswith(": missing 7.bias; unexpected fc.bias, x")
    text = complaint(path, lambda state: state.update({"aux.0.bias": torch.zeros(1), "x": torch.zeros(())}))
    assert text.endswith(": unexpected aux.0.bias, x; if these play no part in it: --ignore-keys aux.* x (ignore=)")
    text = complaint(
        path, lambda state: state.update({"0.weight": torch.zeros(16, 3, 4, 4), "7.bias": torch.tensor(1.0)})
    )
    assert text.endswith(
        ": other shapes: 0.weight is 16x3x4x4 in the file and 16x1x4x4 in the network, "
        "7.bias is a single value in the file and 10 in the network"
    )
    text = complaint(path, lambda state: [state.update({f"a{index}": torch.zeros(1)}) for index in range(9)])
    assert text.endswith("unexpected a0, a1, a2, a3 and 5 more")


class Evil:
    def __reduce__(self):
        return print, ("code of the file ran",)


def test_files_that_hold_no_weights(tmp_path, capsys):
    path = tmp_path / "w.pt"
    with pytest.raises(WeightsError, match="no such file"):
        load_weights(MnistCNN(), path)
    for content, message in (
        (torch.zeros(3), "holds no state dict, plain or under state_dict, .* but no dict"),
        ({"epoch": 3, "lr": 0.1}, "but a dict of epoch, lr"),
        ({"state_dict": {}}, "but a dict of state_dict"),
    ):
        torch.save(content, path)
        with pytest.raises(WeightsError, match=message):
            load_weights(MnistCNN(), path)
    path.write_bytes(b"no weights at all")
    with pytest.raises(WeightsError, match="not readable as weights"):
        load_weights(MnistCNN(), path)
    for save in (torch.save, lambda content, file: file.write_bytes(pickle.dumps(content, protocol=2))):
        save({"state_dict": other_weights(), "evil": Evil()}, path)
        with pytest.raises(WeightsError, match="not readable as weights") as caught:
            load_weights(MnistCNN(), path)
        assert "weights_only" not in str(caught.value)
    assert "ran" not in capsys.readouterr().out
