# SPDX-License-Identifier: MIT
"""What `yopo_ext` offers stays what it is, whatever else of the package has been imported."""

from __future__ import annotations

from pathlib import Path

import yopo_ext


def test_no_public_name_is_a_file_s():
    """Importing the file would put the module in the name's place."""
    folder = Path(yopo_ext.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert files & set(yopo_ext.__all__) == set()
    assert "ball" in files


def test_every_public_name_is_there():
    assert all(callable(getattr(yopo_ext, name)) for name in yopo_ext.__all__)
    assert set(yopo_ext.__all__) <= set(dir(yopo_ext))
