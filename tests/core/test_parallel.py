"""Two processes against one, on the CPU: the same weights from the same rows."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from tests.core import two_processes
from tools import ROOT


def launch(folder, part, world=2):
    """Run a part of `two_processes` in so many processes; their outputs and exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    command = [sys.executable, "-m", two_processes.__name__, part, str(folder)]
    running = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ
            | common
            | {"RANK": str(i), "LOCAL_RANK": str(i), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(world)
    ]
    done = [process.communicate(timeout=150) for process in running]
    return [(process.returncode, *texts) for process, texts in zip(running, done, strict=True)]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What two processes reached, and what one did."""
    folder = tmp_path_factory.mktemp("two")
    done = launch(folder, "train")
    assert [code for code, *_ in done] == [0, 0], done
    said = [json.loads(out.splitlines()[-1]) for _, out, _ in done]
    return torch.load(folder / "two.pt"), two_processes.train(), said, folder


@pytest.mark.parametrize("name", ["gaussian", "game", "operator"])
def test_weights_and_losses_are_those_of_one_process(results, name):
    two, one, *_ = results
    for key, value in one[name]["weights"].items():
        torch.testing.assert_close(two[name]["weights"][key], value, atol=1e-6, rtol=0)
    for column, values in one[name]["history"].items():
        assert two[name]["history"][column] == pytest.approx(values, abs=1e-6)


def test_both_hold_the_same_weights_and_noise_of_their_own(results):
    _, _, said, _ = results
    assert said[0]["weights"] == said[1]["weights"]
    assert said[0]["noise"] != said[1]["noise"]
    assert said[0]["epochs"] == said[1]["epochs"] < 50  # patience was decided together


def test_all_rows_are_seen_once_an_epoch_in_every_fit_and_one_stops_both(results):
    expected = sorted(two_processes.rows()[:64, 0].tolist())
    said = results[2]
    for (epochs, own), (others, other) in zip(said[0]["seen"], said[1]["seen"], strict=True):
        assert epochs == others
        assert sorted(own + other) == pytest.approx(expected)
    assert said[0]["seen"][2][0] == 2


def test_one_process_writes(results):
    folder = results[3]
    assert sorted(path.name for path in folder.iterdir()) == ["run", "two.pt"]


def test_what_would_hang_or_repeat_work_is_refused_by_both(tmp_path):
    expected = {
        "other data": "data: expected the same in all 2 processes",
        "odd batch": "batch_size: expected a multiple of the 2 processes",
        "plain loader": "expected a loader with a torch.utils.data.DistributedSampler",
        "one diverges": "of player 'model' became",
        "one fails": "expected finite values",
        "other rates": "optimizers[0].groups[0].lr: expected the same in all 2 processes",
    }
    for code, out, error in launch(tmp_path, "refusals"):
        assert code == 0, error
        said = json.loads(out)
        assert said.keys() == expected.keys()
        for name, words in expected.items():
            assert words in said[name]
