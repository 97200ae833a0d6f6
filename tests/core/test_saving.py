"""Files of trees: every byte is covered, readers see whole files, and what is wrong is said."""

import random
import threading

import pytest
import torch
from torch import nn

import genlib as gl
from genlib.core import saving
from genlib.core.checkpoint import Checkpoint
from tests.core.toys import IsingRing, TrainedGaussian

TREE = {
    "weights": {"w": torch.randn(3, 2, generator=torch.Generator().manual_seed(0))},
    "empty": torch.zeros(0, 3),
    "whole": torch.arange(4),
    "settings": {"k": 7, "names": ("a", None, True), "rate": 1e-3, 3: [1, 2.5]},
    "tagged": saving.Tagged("model", {"dim": 2}),
}


@pytest.fixture
def path(tmp_path):
    saving.write_tree(tmp_path / "tree", TREE)
    return tmp_path / "tree"


def test_a_tree_comes_back_as_it_was(path):
    found = saving.read_tree(path)
    assert found["settings"] == TREE["settings"] and found["tagged"] == TREE["tagged"]
    for name in ("empty", "whole"):
        assert torch.equal(found[name], TREE[name]) and found[name].dtype == TREE[name].dtype
    assert torch.equal(found["weights"]["w"], TREE["weights"]["w"])
    assert found["weights"]["w"].data_ptr() % 16 == 0  # an unaligned product differs in last bits


class TestDamage:
    def test_every_altered_byte_is_noticed(self, path):
        """One bit of every byte, and every bit of a random tenth of them: none is used."""
        payload, rng = path.read_bytes(), random.Random(0)
        for place in range(len(payload)):
            bits = range(8) if rng.random() < 0.1 else [rng.randrange(8)]
            for bit in bits:
                altered = bytearray(payload)
                altered[place] ^= 1 << bit
                path.write_bytes(altered)
                with pytest.raises(gl.DamagedFileError, match="tree: expected"):
                    saving.read_tree(path)

    @pytest.mark.parametrize("end", [0, 1, 7, 8, 9, 40, 200, -20, -1])
    def test_a_truncated_file_is_noticed(self, path, end):
        path.write_bytes(path.read_bytes()[:end])
        with pytest.raises(gl.DamagedFileError, match="tree: expected"):
            saving.read_tree(path)

    @pytest.mark.parametrize("more", [b"\0", b"x" * 100])
    def test_a_longer_file_is_noticed(self, path, more):
        path.write_bytes(path.read_bytes() + more)
        with pytest.raises(gl.DamagedFileError, match="tree: expected"):
            saving.read_tree(path)

    def test_another_program_s_file_says_what_it_is(self, path):
        from safetensors.torch import save_file

        save_file({"w": torch.zeros(2)}, path)
        with pytest.raises(gl.DamagedFileError, match="expected format genlib-tree-2, found none"):
            saving.read_tree(path)

    def test_a_folder_and_nothing_are_told_apart(self, tmp_path):
        with pytest.raises(IsADirectoryError, match="expected a file, found a folder"):
            saving.read_tree(tmp_path)
        with pytest.raises(FileNotFoundError, match="there is no such file"):
            saving.read_tree(tmp_path / "nothing")

    def test_a_reader_beside_a_writer_sees_whole_files(self, path):
        """Files of two sizes replace each other while they are read."""
        trees = [{"x": torch.full((n,), float(n))} for n in (10, 20_000)]
        saving.write_tree(path, trees[0])
        done = threading.Event()

        def write():
            for i in range(60):
                saving.write_tree(path, trees[i % 2])
            done.set()

        writer = threading.Thread(target=write)
        writer.start()
        reads = 0
        while not done.is_set() or reads < 20:
            x = saving.read_tree(path)["x"]
            assert x.unique().tolist() == [len(x)]
            reads += 1
        writer.join()


class Pair(gl.Model):
    """A model that is made of models."""

    density = gl.Density.EXACT

    def __init__(self, first: gl.Model, others: list[gl.Model], scale: float = 1.0) -> None:
        super().__init__()
        self.event_shape, self.scale = first.event_shape, scale
        self.first, self.others = first, nn.ModuleList(others)

    def _log_prob(self, x):
        each = [model.log_prob(x) for model in (self.first, *self.others)]
        return self.scale * torch.stack(each).sum(0)


class Mixed(TrainedGaussian):
    """Weights in one dtype, a buffer in another, and two names for one parameter."""

    training_buffers = ("chains",)

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.register_buffer("precise", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("chains", torch.zeros(0))
        self.tied = self.loc


class Chains(TrainedGaussian):
    """A model with a buffer that only training needs, and a setting that is a tuple."""

    training_buffers = ("chains",)

    def __init__(self, dim: int, sizes: tuple[int, ...] = (1, 2)) -> None:
        super().__init__(dim)
        self.sizes = sizes
        self.register_buffer("chains", torch.zeros(3))


class TestModels:
    def test_models_within_models_are_saved(self, tmp_path):
        gl.seed(0)
        x = torch.randn(50, 2)
        histogram = gl.Histogram(5, low=-9.0, high=9.0)
        histogram.fit(x)
        model = Pair(TrainedGaussian(2), [histogram, Pair(TrainedGaussian(2), [])], scale=2.0)
        model.fit(x, epochs=2, checkpoint=tmp_path / "c")
        model.save(tmp_path / "m")
        loaded = gl.load(tmp_path / "m")
        assert loaded.scale == 2.0 and isinstance(loaded.others[0], gl.Histogram)
        assert torch.equal(loaded.log_prob(x), model.log_prob(x))
        model.fit(x, epochs=3, checkpoint=tmp_path / "c", resume=True)
        other = Pair(TrainedGaussian(2), [gl.Histogram(6), Pair(TrainedGaussian(2), [])], 2.0)
        with pytest.raises(gl.WrongCheckpointError, match=r"others\[0\].*bins = 6, found 5"):
            other.fit(x, epochs=3, checkpoint=tmp_path / "c", resume=True)

    def test_each_tensor_keeps_its_dtype_and_ties_stay_tied(self, tmp_path):
        model = Mixed(2)
        model.precise += 1 / 3
        model.chains = torch.ones(4)
        for kind in (torch.float32, torch.float64):
            model.loc.data = model.loc.data.to(kind)
            model.save(tmp_path / "m")
            loaded = gl.load(tmp_path / "m")
            assert loaded.loc.dtype == kind and loaded.lower.dtype == torch.float32
            assert torch.equal(loaded.precise, model.precise) and loaded.tied is loaded.loc
            assert loaded.chains.numel() == 0

    def test_a_model_given_twice_comes_back_as_one(self, tmp_path):
        """Wherever it stands; and one that merely looks the same stays another."""
        a, b = Chains(2, sizes=(3,)), Chains(2, sizes=(3,))
        a.loc.data += 1.0
        model = Pair(Pair(a, [b]), [Pair(b, [a]), a, Chains(2)])
        model.save(tmp_path / "m")
        loaded = gl.load(tmp_path / "m")
        first, other = loaded.first, loaded.others[0]
        assert first.first is other.others[0] is loaded.others[1]
        assert first.others[0] is other.first is not first.first
        assert torch.equal(first.first.loc, a.loc) and first.first.sizes == (3,)
        assert len(list(loaded.parameters())) == len(list(model.parameters()))

    def test_load_draws_nothing_from_the_global_generator(self, tmp_path):
        gl.NADE(5, 3).save(tmp_path / "m")
        gl.seed(1)
        expected = torch.rand(3)
        gl.seed(1)
        gl.load(tmp_path / "m")
        assert torch.equal(torch.rand(3), expected)

    def test_a_class_of_the_same_name_does_not_replace_genlib_s(self, tmp_path):
        known = dict(gl.Model.registry)
        try:

            class NADE(gl.Model):
                """A student's own."""

            NADE.__qualname__ = "NADE"
            gl.Model.__init_subclass__.__func__(NADE)
            assert gl.Model.registry["NADE"] is gl.NADE
            gl.NADE(5, 3).save(tmp_path / "m")
            assert isinstance(gl.load(tmp_path / "m"), gl.NADE)
        finally:
            gl.Model.registry.clear()
            gl.Model.registry.update(known)

    def test_foreign_weights_are_named(self, tmp_path):
        TrainedGaussian(2).save(tmp_path / "m")
        tree = saving.read_tree(tmp_path / "m")
        del tree["weights"]["loc"]
        saving.write_tree(tmp_path / "m", tree)
        with pytest.raises(gl.DamagedFileError, match="found others: loc"):
            gl.load(tmp_path / "m")

    def test_what_cannot_be_written_is_refused_before_training(self, tmp_path):
        model = TrainedGaussian(2)
        model.arguments["callback"] = print
        before = model.loc.detach().clone()
        with pytest.raises(TypeError, match="cannot save a builtin_function_or_method"):
            model.fit(torch.randn(9, 2), checkpoint=tmp_path / "c")
        assert torch.equal(model.loc, before) and not list(tmp_path.iterdir())

    def test_arguments_are_kept_as_they_were(self, tmp_path):
        order = list(range(6))
        model = gl.NADE(6, 5, order=order)
        order.reverse()
        model.save(tmp_path / "m")
        x = torch.tensor([[1.0, 0, 0, 1, 1, 0]])
        assert torch.equal(gl.load(tmp_path / "m").log_prob(x), model.log_prob(x))

    def test_keywords_of_any_name_are_arguments_and_nameless_ones_are_refused(self, tmp_path):
        class Keywords(TrainedGaussian):
            def __init__(self, dim, **settings):
                super().__init__(dim)
                self.k = settings.get("k", 1.0)

        class Nameless(TrainedGaussian):
            def __init__(self, *dims):
                super().__init__(*dims)

        Keywords(2, k=3.0).save(tmp_path / "m")
        assert gl.load(tmp_path / "m").k == 3.0
        with pytest.raises(TypeError, match=r"whose arguments have names, got values for \*dims"):
            Nameless(2).save(tmp_path / "m")
        model, x = Nameless(2), torch.ones(8, 2)
        assert len(model.fit(x, epochs=1)) == 1  # what is not to be saved can be trained
        with pytest.raises(TypeError, match="whose arguments have names"):
            model.fit(x, epochs=1, checkpoint=tmp_path / "c")

    def test_a_model_that_is_no_submodule_cannot_be_saved(self, tmp_path):
        class Wrapped(gl.Model):
            def __init__(self, base):
                super().__init__()
                self.parts = [base]

        with pytest.raises(TypeError, match="expected the TrainedGaussian it was made of"):
            Wrapped(TrainedGaussian(2)).save(tmp_path / "m")


class TestCheckpoint:
    def test_a_loop_of_one_s_own_resumes_with_its_randomness(self, tmp_path):
        def chain(path, steps, stop):
            checkpoint = Checkpoint(path, {"steps": steps}, resume=True)
            x, done = checkpoint.saved or (torch.zeros(3), 0)
            for i in range(done, stop):
                x = 0.9 * x + torch.randn(3)
                checkpoint.write((x, i + 1), last=i + 1 in (stop, steps))
            return x

        gl.seed(0)
        whole = chain(tmp_path / "a", 20, 20)
        gl.seed(0)
        chain(tmp_path / "b", 20, 7)
        gl.seed(9)
        assert torch.equal(chain(tmp_path / "b", 20, 20), whole)

    def test_writing_takes_a_tenth_of_the_time(self, tmp_path, monkeypatch):
        now, writes = [0.0], []

        def slow(path, tree):
            now[0] += 1.0
            writes.append(now[0])

        monkeypatch.setattr("genlib.core.checkpoint.write_tree", slow)
        monkeypatch.setattr("genlib.core.checkpoint.time.monotonic", lambda: now[0])
        checkpoint = Checkpoint(tmp_path / "c", {})
        for _ in range(1000):
            now[0] += 0.1
            checkpoint.write({})
        checkpoint.write({}, last=True)
        assert len(writes) - 1 <= 0.1 * now[0] + 1
        assert len(writes) > 0.08 * now[0]

    @pytest.mark.parametrize("resume", ["no", 1, None])
    def test_a_flag_is_a_flag(self, tmp_path, resume):
        with pytest.raises(TypeError, match="resume: expected True or False"):
            Checkpoint(tmp_path / "c", {}, resume=resume)
        with pytest.raises(TypeError, match="resume: expected True or False"):
            TrainedGaussian(2).fit(torch.zeros(3, 2), resume=resume)

    def test_resuming_needs_a_file(self, tmp_path):
        with pytest.raises(ValueError, match="resume: expected checkpoint="):
            TrainedGaussian(2).fit(torch.zeros(3, 2), resume=True)
        with pytest.raises(IsADirectoryError, match="found a folder"):
            TrainedGaussian(2).fit(torch.zeros(3, 2), checkpoint=tmp_path, resume=True)

    def test_differences_are_found_wherever_they_are(self, tmp_path):
        old = {"a": {"b": [1, (2.0, None)]}, "t": torch.ones(2), "n": float("nan"), "r": range(3)}
        Checkpoint(tmp_path / "c", old).write({}, last=True)
        Checkpoint(tmp_path / "c", old, resume=True)
        changes = [
            ({"a": {"b": [1, (3.0, None)]}}, r"a.b\[1\]\[0\] = 3.0, found 2.0"),
            ({"a": {"b": [1]}}, r"a.b = \[1\], found \[1, "),
            ({"a": {"c": 1}}, "a = "),
            ({"t": torch.zeros(2)}, "t = tensor"),
            ({"t": 1}, "t = 1"),
            ({"n": 1.0}, "n = 1.0, found nan"),
            ({"r": range(4)}, "r = "),
            ({"z": 1}, "z = 1, found None"),
        ]
        for change, words in changes:
            with pytest.raises(gl.WrongCheckpointError, match=words):
                Checkpoint(tmp_path / "c", old | change, resume=True)
        with pytest.raises(gl.WrongCheckpointError, match="r = None, found"):
            Checkpoint(tmp_path / "c", {k: old[k] for k in "atn"}, resume=True)


def test_a_saved_ising_ring_keeps_its_argument(tmp_path):
    IsingRing(4, coupling=0.25).save(tmp_path / "m")
    assert gl.load(tmp_path / "m").arguments == {"spins": 4, "coupling": 0.25}
