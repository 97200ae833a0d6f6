"""Lesson 17: the game, its best discriminator and value, generators' slopes, f-games, the ring."""

from tests.mutations.changes import changes

MUTATIONS = changes(
    "17",
    "lessons/17_adversarial_game/lesson.ipynb",
    "tests/lessons/test_adversarial_game.py",
    (
        "data: the modes' weights exchanged",
        "left = math.log(0.65) + gaussian",
        "left = math.log(0.35) + gaussian",
        "test_samples_have_the_density",
    ),
    (
        "Gaussian: the variance for the deviation",
        "math.log(deviation * math.sqrt(2 * math.pi))",
        "math.log(deviation**2 * math.sqrt(2 * math.pi))",
        "test_samples_have_the_density",
    ),
    (
        "discriminator: generated rows labelled as real",
        "-logsigmoid(D(x)).mean() - logsigmoid(-D(fake)).mean()",
        "-logsigmoid(D(x)).mean() - logsigmoid(D(fake)).mean()",
        "test_the_losses_are_sums_of_two_means",
    ),
    (
        "discriminator: the generator is moved, too",
        "fake = G(z).detach()  # the",
        "fake = G(z)  # the",
        "test_each_loss_moves_its_own_player",
    ),
    (
        "generator: the sign of document C",
        "return logsigmoid(-D(G(z))).mean()",
        "return -logsigmoid(-D(G(z))).mean()",
        "test_the_losses_are_sums_of_two_means",
    ),
    (
        "step: older gradients kept",
        'optimizer.zero_grad()\\n",\n    "    loss.backward()\\n",\n    "    optimizer.step()',
        'optimizer.zero_grad\\n",\n    "    loss.backward()\\n",\n    "    optimizer.step()',
        "test_a_step_forgets_older_gradients_and_goes_downhill",
    ),
    (
        "KL: reversed",
        "return integral(log_p.exp() * (log_p - log_q))",
        "return integral(log_q.exp() * (log_q - log_p))",
        "test_divergences_and_the_value_by_another_quadrature",
    ),
    (
        "JS: the sum of two divergences",
        "return (kl(log_p, log_m) + kl(log_q, log_m)) / 2",
        "return kl(log_p, log_m) + kl(log_q, log_m)",
        "test_divergences_and_the_value_by_another_quadrature",
    ),
    (
        "value: the sign of a logit",
        "+ log_q.exp() * logsigmoid(-v))",
        "+ log_q.exp() * logsigmoid(v))",
        "test_divergences_and_the_value_by_another_quadrature",
    ),
    (
        "minimax: the other weight",
        "lambda log_u: log_u.sigmoid(),  # D*",
        "lambda log_u: (-log_u).sigmoid(),  # D*",
        "test_pulls_are_the_slopes_of_costs_on_samples_moved_by_hand",
    ),
    (
        "non-saturating: the weight of the minimax cost",
        "lambda log_u: (-log_u).sigmoid()}  # 1",
        "lambda log_u: log_u.sigmoid()}  # 1",
        "test_pulls_are_the_slopes_of_costs_on_samples_moved_by_hand",
    ),
    (
        "pull: the sign",
        "return -integral(log_q.exp() * weight(log_u) * slope * motion)",
        "return integral(log_q.exp() * weight(log_u) * slope * motion)",
        "test_pulls_are_the_slopes_of_costs_on_samples_moved_by_hand",
    ),
    (
        "pull: an average over the data",
        "return -integral(log_q.exp() * weight",
        "return -integral(log_p.exp() * weight",
        "test_pulls_are_the_slopes_of_costs_on_samples_moved_by_hand",
    ),
    (
        "forward KL: its slope without the one",
        "lambda u: 1 + u.log(),",
        "lambda u: u.log(),",
        "test_conjugates_slopes_and_weights_of_the_divergences",
    ),
    (
        "forward KL: its conjugate without the one",
        "lambda t: (t - 1).exp(), lambda u: u)",
        "lambda t: t.exp(), lambda u: u)",
        "test_conjugates_slopes_and_weights_of_the_divergences",
    ),
    (
        "reverse KL: the sign of its slope",
        "lambda u: -1 / u,",
        "lambda u: 1 / u,",
        "test_conjugates_slopes_and_weights_of_the_divergences",
    ),
    (
        "reverse KL: its conjugate without the one",
        "lambda t: -1 - (-t).log()",
        "lambda t: -(-t).log()",
        "test_conjugates_slopes_and_weights_of_the_divergences",
    ),
    (
        "JS: the factor 2 in its slope",
        "lambda u: (2 * u / (u + 1)).log()",
        "lambda u: (u / (u + 1)).log()",
        "test_conjugates_slopes_and_weights_of_the_divergences",
    ),
    (
        "JS: the weight of the non-saturating cost",
        "lambda u: u / (u + 1)),",
        "lambda u: 1 / (u + 1)),",
        "test_conjugates_slopes_and_weights_of_the_divergences",
    ),
    (
        "bound: T of the samples without the conjugate",
        "return integral(log_p.exp() * T - log_q.exp() * conjugate(T))",
        "return integral(log_p.exp() * T - log_q.exp() * T)",
        "test_the_bound_has_both_terms",
    ),
    (
        "ring: forward KL with the weight of reverse KL",
        "lambda v: -v.exp().mean()}  # w = u",
        "lambda v: -v.mean()}  # w = u",
        "test_generators_differ_by_the_weights_of_the_divergences",
    ),
    (
        "ring: a layer less rectified",
        "x = torch.baddbmm(bias, x, weight).relu()",
        "x = torch.baddbmm(bias, x, weight)",
        "test_many_networks_are_each_their_own",
    ),
    (
        "ring: modes with any sample are covered",
        ".float().mean(0) >= 0.01).sum()",
        ".float().mean(0) > 0).sum()",
        "test_a_mode_is_covered_by_one_percent_of_the_samples",
    ),
)
