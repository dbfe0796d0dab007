# SPDX-License-Identifier: MIT

import array
import collections
import decimal
import io
import pickle
import pickletools
import sys

import numpy as np
import pytest

from yopo_ext.data import DataFileError
from yopo_ext.data.plain_pickle import read_plain_pickle


def read(path, content, protocol=2):
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol=protocol))
    return read_plain_pickle(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_data_comes_back_at_every_protocol(tmp_path, protocol):
    numbers = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    arrays = {
        "c": numbers, "f": np.asfortranarray(numbers), "swapped": numbers.astype(">i2"), "strided": numbers[:, ::2],
        "float": numbers / 7, "bool": numbers > 3, "byte": numbers.astype(np.uint8), "empty": numbers[:0],
    }  # fmt: skip
    others = {
        "list": [1, 2.5, True, None, "ä", b"\xff\x00", b""], "long": 2**80, "text": "x", "nothing": [],
        "scalars": [np.int64(-3), np.float32(0.5), np.bool_(True)],
    }  # fmt: skip
    found = read(tmp_path / "a", arrays | {key.encode(): value for key, value in others.items()}, protocol)
    assert set(found) == set(arrays) | set(others)
    for key, value in arrays.items():
        assert found[key].dtype == value.dtype
        assert np.array_equal(found[key], value)
    assert {key: found[key] for key in others} == others


class Evil:
    """What a pickle of this calls: ``function(*arguments)``."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def touching(path):
    return {
        "a function": Evil(open, str(path), "w"),
        "os": Evil(__import__("os").mkdir, str(path)),
        "eval": Evil(eval, f"open({str(path)!r}, 'w')"),
        "getattr": Evil(getattr, {}, "items"),
        "numpy's own loader": Evil(np.load, str(path)),
        "numpy's ndarray": Evil(np.ndarray, (1 << 20,)),
        "a subclass": np.ma.masked_array([1], [True]),
        "another class": decimal.Decimal(1),
        "a dict with a factory": collections.defaultdict(list),
        "an array that is not numpy's": array.array("i", [1]),
        "objects": np.array([Evil(open, str(path), "w")], dtype=object),
        "records": np.zeros(2, dtype=[("a", "i4"), ("b", "f8")]),
        "dates": np.zeros(2, dtype="M8[s]"),
        "text": np.array(["abc"]),
        "a set": {1},
        "a list of lists": [[1]],
        "a dict": {"a": 1},
    }


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", touching(""))
def test_whatever_else_there_is_is_refused_and_nothing_runs(tmp_path, name, protocol):
    target = tmp_path / "touched"
    for evil in ({"data": touching(target)[name]}, {"data": [touching(target)[name]]}):
        with pytest.raises(DataFileError, match="no readable pickle"):
            read(tmp_path / "a", evil, protocol)
    assert not target.exists()


def test_the_tests_evil_would_run(tmp_path):
    pickle.loads(pickle.dumps({"data": touching(tmp_path / "touched")["a function"]}))["data"].close()
    assert (tmp_path / "touched").exists()


HOSTILE = {
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x11dtype.type.__init__\x93.",
    "of the oldest kind": b"(S'true'\nios\nsystem\n.",
    "by extension code": b"\x80\x02\x82\x01.",
    "persistent": b"\x80\x02}X\x01\x00\x00\x00aK\x01Qs.",
    "a new object": b"\x80\x02cnumpy\ndtype\n)\x81.",
    "attributes of a function": b"\x80\x02cnumpy\ndtype\nN}X\x08\x00\x00\x00__code__K\x00s\x86b.",
    "an array too large": b"\x80\x02cnumpy.core.numeric\n_frombuffer\n(C\x01acnumpy\ndtype\nC\x02u1\x85R"
    b"(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ftC\x01CtR.",
    "an array without content": b"\x80\x02}X\x01\x00\x00\x00acnumpy.core.multiarray\n_reconstruct\n)Rs.",
    "a list of itself": b"\x80\x02}X\x01\x00\x00\x00a]q\x00h\x00as.",
    "no pickle": b"<html>404</html>",
    "nothing": b"",
    "cut short": pickle.dumps({"a": np.arange(9)})[:-9],
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes(tmp_path, name):
    before = set(sys.modules)
    with pytest.raises(DataFileError, match=r"no readable pickle \(.+\), expected a dict") as caught:
        read(tmp_path / "a", HOSTILE[name])
    assert caught.value.path == tmp_path / "a"
    assert "\n" not in str(caught.value)
    assert not {module for module in set(sys.modules) - before if not module.startswith(("encodings", "numpy"))}


def test_what_a_file_does_to_one_name_does_not_stay(tmp_path):
    """A pickle may set attributes of what it is given; here it gives `numpy.dtype` other defaults."""
    spoiled = b"\x80\x02}X\x01\x00\x00\x00acnumpy\ndtype\nN}X\x0c\x00\x00\x00__defaults__C\x01xs\x86b0K\x01s."
    pickletools.dis(spoiled, out=io.StringIO())  # it is well formed
    with pytest.raises(DataFileError):
        read(tmp_path / "a", spoiled)
    assert np.array_equal(read(tmp_path / "a", {"a": np.arange(3)})["a"], np.arange(3))


def test_no_dict_and_no_file(tmp_path):
    for content in ([1], 3, np.arange(3), {1: 2}):
        with pytest.raises(DataFileError, match=r"no readable pickle \(a "):
            read(tmp_path / "a", content)
    with pytest.raises(DataFileError, match="found no such file"):
        read_plain_pickle(tmp_path / "b")
