"""Threads that take whole parts: results in order, torch's settings left as they were."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch

from genlib.kernels import _threads
from tests.processes import run_python

parallel_map = partial(_threads.parallel_map, device=torch.device("cpu"))


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_results_come_in_the_order_of_the_parts(threads, count):
    assert parallel_map(lambda part: part * part, range(count)) == [i * i for i in range(count)]


def test_each_part_is_taken_once_and_parts_may_be_an_iterator(threads):
    taken, lock = [], threading.Lock()

    def take(part):
        with lock:
            taken.append(part)

    assert parallel_map(take, iter("abcdefgh")) == [None] * 8
    assert sorted(taken) == list("abcdefgh")


def test_parts_run_side_by_side_each_on_one_thread_of_torch(threads):
    """Every part waits for all others: fewer threads than parts would wait for ever."""
    together = threading.Barrier(threads, timeout=60)

    def meet(part):
        together.wait()
        return torch.get_num_threads()

    assert parallel_map(meet, range(threads)) == [1] * threads


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_serial_part_has_a_thread_to_itself_even_alone(threads, count):
    parts = range(min(count, threads))
    assert parallel_map(lambda _: torch.get_num_threads(), parts, serial=True) == [1] * len(parts)
    assert torch.get_num_threads() == threads


def test_settings_of_torch_stay_here_and_in_new_threads(threads):
    parallel_map(abs, range(threads))
    assert torch.get_num_threads() == threads
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == threads


def test_a_part_that_fails_is_heard_and_the_threads_serve_again(threads):
    with pytest.raises(ZeroDivisionError):
        parallel_map(lambda part: 1 // part, [1, 0, 2])
    assert parallel_map(abs, [-1, -2]) == [1, 2]


def test_what_lies_on_another_device_is_computed_where_it_is_asked_for(threads):
    """Threads of their own would launch on another stream, and meet in libraries that are loaded
    when they are first called.
    """
    here = threading.get_ident(), torch.get_num_threads()
    for serial in (False, True):
        found = parallel_map(
            lambda _: (threading.get_ident(), torch.get_num_threads()),
            range(4),
            device=torch.device("cuda"),
            serial=serial,
        )
        assert found == [here] * 4


def test_nothing_is_recorded_for_autograd(threads):
    leaf = torch.ones(3, requires_grad=True)
    assert not any(r.requires_grad for r in parallel_map(lambda i: leaf * i, range(3)))
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("inference", [False, True])
def test_inference_mode_is_that_of_the_caller(threads, inference):
    with torch.inference_mode(inference):
        found = parallel_map(lambda _: torch.is_inference_mode_enabled(), range(3))
    assert found == [inference] * 3


def test_parts_may_have_parts_of_their_own(threads):
    def rows(i):
        return parallel_map(lambda j: 10 * i + j, range(3))

    assert parallel_map(rows, range(3)) == [[10 * i + j for j in range(3)] for i in range(3)]


def test_several_callers_at_once(threads):
    def call(start):
        return parallel_map(lambda i: start + i, range(50))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(call, range(0, 400, 100)))
    assert found == [list(range(start, start + 50)) for start in range(0, 400, 100)]


def test_a_forked_child_starts_threads_of_its_own():
    program = (
        "import os, warnings, torch\n"
        "warnings.simplefilter('ignore')\n"  # Python 3.12 warns of forks beside threads
        "from functools import partial\n"
        "from genlib.kernels import _threads\n"
        "parallel_map = partial(_threads.parallel_map, device=torch.device('cpu'))\n"
        "torch.set_num_threads(2)\n"
        "assert parallel_map(abs, [-1, -2]) == [1, 2]\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if parallel_map(abs, [-3, -4]) == [3, 4] else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    done = run_python("-c", program)
    assert done.stdout.strip() == "0", done.stderr
