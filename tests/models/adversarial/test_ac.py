"""The auxiliary-classifier game against steps on the losses written out, and a world of known
conditionals.
"""

import functools

import pytest
import torch
from torch import nn

import genlib as gl
from genlib.core.hooks import WeightAverage
from genlib.models.adversarial.costs import COSTS
from genlib.models.adversarial.gan import gradient_penalty
from genlib.models.adversarial.networks import mlp_discriminator, mlp_generator
from tests.models.adversarial.games import stepped
from tests.models.adversarial.test_conditional import LABELS, ROWS, noise, told


def networks():
    return mlp_generator(2 + 3, 2, (8,)), nn.Sequential(
        nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1 + 3)
    )


def drawn():
    return torch.randn(7, 2, dtype=torch.float64)


def small(cost="non-saturating", **settings):
    gl.seed(0)
    return gl.ACGAN(*networks(), cost, latent=2, classes=3, **settings)


def of_classes(model, x):
    """Mean −log P(y | x), in a loop."""
    scores, total = model.discriminator(x)[:, 1:], 0.0
    for row, label in zip(scores, LABELS.tolist(), strict=True):
        total = total - torch.log(row[label].exp() / row.exp().sum())
    return total / len(x)


@pytest.mark.covers("G13")
class TestTheGame:
    @pytest.mark.parametrize("cost", ["non-saturating", "hinge"])
    @pytest.mark.parametrize("weight", [1.0, 0.3])
    def test_a_step_of_each_player_is_that_of_the_losses_written_out(self, cost, weight):
        model, x = small(cost, class_weight=weight, gradient_penalty=2.0).double(), ROWS.double()

        def discriminator():
            fake = model.generator(told(drawn(), LABELS).double()).detach()
            logits = [model.discriminator(rows)[:, 0] for rows in (x, fake)]
            classes = of_classes(model, x) + of_classes(model, fake)
            penalty = gradient_penalty(lambda rows: model.discriminator(rows)[:, 0], x, fake)
            return COSTS[cost].discriminator(*logits) + weight * classes + 2 * penalty

        def generator():
            fake = model.generator(told(drawn(), LABELS).double())
            logits = model.discriminator(fake)[:, 0]
            return COSTS[cost].generator(logits) + weight * of_classes(model, fake)

        stepped(model, (x, LABELS), [discriminator, generator])

    def test_learns_known_conditionals_and_to_tell_the_classes(self):
        """x given y is N(m_y, ½²), labels coming as 1 : 2 : 5. Over seeds 0 to 5 each mean is
        within 0.64 of its own place, and at least 99.8 % of the rows are given their class, as by
        Bayes' rule.
        """
        gl.seed(0)
        centres = torch.tensor([[2.0, 0.0], [-2.0, 1.0], [0.0, -2.0]])
        y = torch.multinomial(torch.tensor([1.0, 2.0, 5.0]), 512, replacement=True)
        x = centres[y] + 0.5 * torch.randn(512, 2)
        judge = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1 + 3))
        model = gl.ACGAN(nn.Linear(2 + 3, 2), judge, latent=2, classes=3, gradient_penalty=0.3)
        adam = functools.partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.999))
        model.fit(x, y, epochs=40, batch_size=64, optimizer=adam, hooks=[WeightAverage(0.98)])
        for label, centre in enumerate(centres):
            drawn = model.sample(2000, torch.full((2000,), label))
            assert (drawn.mean(0) - centre).norm() < 1, label
        assert (model.classify(x).argmax(1) == y).double().mean() > 0.98


@pytest.mark.covers("G13")
class TestQueries:
    def test_are_those_of_the_networks(self):
        model, z = small(), noise(7)
        x = model.sample(7, LABELS, generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(x, model.generator(told(z, LABELS)).detach())
        out = model.discriminator(x)
        for logits in (model.logits(x), model.logits(x, LABELS)):
            torch.testing.assert_close(logits, out[:, 0])
        shares = out[:, 1:].exp()
        torch.testing.assert_close(model.classify(x), shares / shares.sum(1, keepdim=True))

    def test_are_put_in_evaluation_mode(self):
        gl.seed(0)
        judge = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4))
        model = gl.ACGAN(mlp_generator(5), judge, latent=2, classes=3).train()
        for ask in (model.classify, model.logits):
            torch.testing.assert_close(ask(ROWS[2:3])[0], ask(ROWS)[2])
        assert judge[1].training

    def test_a_density_is_refused_in_words(self):
        with pytest.raises(gl.CannotAnswerError, match="ACGAN cannot answer log_prob"):
            small().log_prob(ROWS, LABELS)


@pytest.mark.covers("G13")
class TestBadInput:
    @pytest.mark.parametrize(
        ("ask", "error", "words"),
        [
            (lambda m: m.fit(ROWS), ValueError, "y: this model is conditional"),
            (lambda m: m.fit(ROWS, LABELS + 1), ValueError, "y: expected labels in 0 … 2"),
            (lambda m: m.sample(7), ValueError, "y: this model is conditional"),
            (lambda m: m.logits(ROWS, LABELS - 1), ValueError, "y: expected labels in 0 … 2"),
            (lambda m: m.classify(ROWS[0]), ValueError, r"x: expected shape \(N, 2\)"),
            (lambda m: m.classify(ROWS.double()), TypeError, "x: the model computes in"),
        ],
    )
    def test_rows_and_labels_are_checked(self, ask, error, words):
        with pytest.raises(error, match=words):
            ask(small())

    @pytest.mark.parametrize(
        ("judge", "error", "words"),
        [
            (
                mlp_discriminator(2),
                ValueError,
                r"a logit and 3 scores of classes a row, shape \(3, 4\), got \(3, 1\)",
            ),
            (mlp_discriminator(5), ValueError, r"expected a network that takes \(3, 2\)"),
            (nn.Sequential(nn.Linear(2, 4), nn.Softmax(1)), ValueError, "logits, .* a softmax"),
            (nn.Sequential(nn.Linear(2, 4), nn.Sigmoid()), ValueError, "logits, .* a sigmoid"),
            (nn.LSTM(2, 4), TypeError, "expected one tensor, got tuple"),
        ],
    )
    def test_a_discriminator_says_a_logit_and_scores(self, judge, error, words):
        with pytest.raises(error, match=f"discriminator: .*{words}"):
            gl.ACGAN(mlp_generator(5), judge, latent=2, classes=3)

    def test_settings_are_checked(self):
        with pytest.raises(ValueError, match="class_weight: expected a finite number, zero or pos"):
            small(class_weight=-1.0)
        with pytest.raises(ValueError, match="classes: expected at least 2"):
            gl.ACGAN(*networks(), latent=2, classes=1)
