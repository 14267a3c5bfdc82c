"""`core doctor`."""

import json
import os

import pytest


def test_the_machine_and_what_will_be_used_are_shown(core, tmp_path):
    done = core("doctor")
    assert done.returncode == 0
    for section in ("Machine", "Packages", "Terminal", "Folders"):
        assert f"\n{section}\n" in f"\n{done.stdout}"
    assert "at once on" in done.stdout
    assert "not a terminal" in done.stdout
    assert os.listdir(tmp_path) == []


def test_json_has_the_documented_keys(core):
    found = json.loads(core("doctor", "--json", "--device", "cpu", "--slots", "1").stdout)
    assert set(found) == {
        *("python", "executable", "platform", "cores", "devices", "uses", "reasons", "packages"),
        *("compiler", "compile_problem", "terminal", "folders", "locks", "torch", "problems"),
    }
    assert found["uses"] == {"devices": ["cpu"], "runs_at_once": 1}
    assert found["devices"][-1]["kind"] == "cpu"
    assert found["problems"] == []
    assert found["torch"] is None


def test_deep_computes_with_torch_in_a_process_of_its_own(core):
    found = json.loads(core("doctor", "--json", "--deep").stdout)
    assert "cpu" in found["torch"]["works_on"]
    assert found["torch"]["cpu_precision"] in ("fp32", "bf16")
    assert "train.precision auto is" in core("doctor", "--deep").stdout


def test_a_folder_that_cannot_be_written_ends_with_code_2(core, tmp_path):
    (tmp_path / "file").write_text("a file where a folder should be")
    done = core("doctor", "--runs", "file/runs")
    assert done.returncode == 2
    assert "file/runs: CANNOT be written" in done.stdout
    assert done.stderr == "error: file/runs cannot be written\n"


def test_a_torch_that_does_not_import_is_a_problem(core, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "torch.py").write_text("raise ImportError('libcudart is missing')")
    path = os.pathsep.join([str(broken), os.environ["PYTHONPATH"]])
    done = core("doctor", "--deep", env={"PYTHONPATH": path})
    assert done.returncode == 2
    assert "torch does not work (ImportError: libcudart is missing)" in done.stderr


@pytest.mark.parametrize(("compiler", "shown"), [("/bin/true", "/bin/true"), ("/nowhere/c++", "none")])
def test_the_compiler_is_the_one_that_torch_would_find(core, compiler, shown):
    done = core("doctor", env={"CXX": compiler})
    assert f"C++ compiler {shown}" in done.stdout
