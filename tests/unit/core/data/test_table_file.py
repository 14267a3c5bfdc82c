"""Parquet and arrow files as Hugging Face `datasets` writes them."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.data import load_dataset
from core.data.preview import first_images
from core.data.recipe import find_data_recipe
from core.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)


def table(pyarrow: Any, *, is_struct: bool = True) -> Any:
    contents = []
    for image in IMAGES:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        contents.append(buffer.getvalue())
    images: list[Any] = [{"bytes": one, "path": "a.png"} for one in contents] if is_struct else contents
    if is_struct:
        images[3] = {"bytes": None, "path": "elsewhere.png"}
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    columns = {"label": [index % 2 for index in range(30)], "image": images}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pyarrow.table(columns).replace_schema_metadata(metadata if is_struct else {})


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_images_and_classes_of_a_table_make_a_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "data"))
    for is_struct in (True, False):
        path = tmp_path / str(is_struct) / name
        path.parent.mkdir()
        content = table(pyarrow, is_struct=is_struct)
        if name == "a.parquet":
            parquet.write_table(content, path, row_group_size=7)
        else:
            with (
                pyarrow.OSFile(str(path), "wb") as file,
                pyarrow.ipc.new_stream(file, content.schema) as stream,
            ):
                stream.write_table(content, max_chunksize=7)
        made = load_dataset(str(path))
        found = {image.tobytes() for image in (*made.train, *made.heldout)}
        assert found == {image.tobytes() for index, image in enumerate(IMAGES) if index != 3 or not is_struct}
        assert made.classes == (("cat", "dog") if is_struct else ("0", "1"))
        assert made.train_labels is not None
        for image, label in zip(made.train, made.train_labels, strict=True):
            (row,) = np.flatnonzero((image == IMAGES).all((1, 2)))
            assert row % 2 == label
        assert np.array_equal(first_images(find_data_recipe(str(path)), 4, heldout=False), made.train[:4])


def test_a_table_without_images_or_without_pyarrow_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 nothing")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"need pyarrow; run .* -m pip install 'ddpm-tui\[hf\]'"):
        load_dataset(str(path), data_dir=tmp_path / "data")
    monkeypatch.undo()
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    with pytest.raises(UserError, match=r"not a file of images that can be read"):
        load_dataset(str(path), data_dir=tmp_path / "data")
    parquet.write_table(pyarrow.table({"text": ["words"]}), path)
    with pytest.raises(UserError, match=r"expected a column image .*; its columns: text"):
        load_dataset(str(path), data_dir=tmp_path / "data")
