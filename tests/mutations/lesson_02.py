"""Lesson 02: chains, networks, elimination, the best tree, naive Bayes."""

from tests.mutations.changes import changes

LESSON = "lessons/02_structure/lesson.ipynb"
TESTS = "tests/lessons/test_structure.py"
GRAPHICAL = "tests/models/graphical"

MUTATIONS = [
    *changes(
        "02",
        LESSON,
        TESTS,
        (
            "free parameters: the last state counted",
            "return math.prod(states) - 1",
            "return math.prod(states)",
            "test_free_parameters_are_joint_states_less_one",
        ),
        (
            "chain by counting: the present for the past",
            "past = torch.cat([torch.zeros(len(x), 1), x[:, :-1]], 1)\\n",
            "past = torch.cat([torch.zeros(len(x), 1), x[:, 1:]], 1)\\n",
            "test_a_chain_is_fitted_by_counting_pairs",
        ),
        (
            "chain by counting: one more of one kind only",
            "((rows * x).sum(1) + 1) / (rows.sum(1) + 2)",
            "((rows * x).sum(1) + 1) / (rows.sum(1) + 1)",
            "test_a_chain_is_fitted_by_counting_pairs",
        ),
        (
            "chain by counting: pasts exchanged",
            "rows = torch.stack([1 - past, past])",
            "rows = torch.stack([past, 1 - past])",
            "test_a_chain_is_fitted_by_counting_pairs",
        ),
        (
            "chain: the probability of zero for that of one",
            "torch.where(x == 1, on, 1 - on).log().sum(1)",
            "torch.where(x == 1, 1 - on, on).log().sum(1)",
            "test_a_chain_is_a_product_of_its_conditionals",
        ),
        (
            "chain: the mean of the factors' logarithms",
            "torch.where(x == 1, on, 1 - on).log().sum(1)",
            "torch.where(x == 1, on, 1 - on).log().mean(1)",
            "test_a_chain_is_a_product_of_its_conditionals",
        ),
        (
            "chain: drawn without a look at the past",
            "torch.bernoulli(p[x[:, i].long(), i])",
            "torch.bernoulli(p[0 * x[:, i].long(), i])",
            "test_a_chain_draws_what_its_probabilities_say",
        ),
        (
            "nearest pixels: the farthest",
            "key=lambda j, i=i: (distance[i, j].item(), j)",
            "key=lambda j, i=i: (-distance[i, j].item(), j)",
            "test_nearest_earlier_pixels_are_earlier_and_nearest",
        ),
        (
            "logistic conditionals: the bias left out",
            "logits = x @ (weight * mask).T + bias",
            "logits = x @ (weight * mask).T",
            "test_conditionals_by_logistic_regression_are_those_of_scikit_learn",
        ),
        (
            "logistic conditionals: no mask",
            "logits = x @ (weight * mask).T + bias",
            "logits = x @ weight.T + bias",
            "test_conditionals_by_logistic_regression_are_those_of_scikit_learn",
        ),
        (
            "elimination: the table turned over",
            "belief = belief @ chain.table(i)",
            "belief = belief @ chain.table(i).T",
            "test_the_last_marginal_is_a_sum_over_all_events",
        ),
        (
            "completion: the probability of white",
            "ink = model.conditional(i, known)[1]",
            "ink = model.conditional(i, known)[0]",
            "test_a_completion_holds_the_conditionals_given_the_upper_half",
        ),
        (
            "completion: later pixels do not fit what was drawn",
            "        if draw:\\n",
            "        if not draw:\\n",
            "test_later_pixels_of_a_drawn_completion_fit_the_earlier_ones",
        ),
        (
            "surprise: of the upper half",
            "hidden = pictures[:, 32:]\\n",
            "hidden = pictures[:, :32]\\n",
            "test_surprise_is_minus_log_p_of_the_hidden_half",
        ),
        (
            "surprise: a mean over pixels",
            'reduction=\\"none\\").sum(1).mean()',
            'reduction=\\"none\\").mean(1).mean()',
            "test_surprise_is_minus_log_p_of_the_hidden_half",
        ),
    ),
    *changes(
        "02",
        LESSON,
        LESSON,
        (
            "chain rule: tables not divided by the condition",
            "(pairs / pairs.sum(1, keepdim=True)).reshape",
            "(pairs / pairs.sum()).reshape",
        ),
        (
            "naive Bayes by hand: absent words left out",
            "joint = test.double() @ ink.log().T + (1 - test.double()) @ (1 - ink).log().T",
            "joint = test.double() @ ink.log().T",
        ),
        (
            "naive Bayes by hand: the prior left out",
            "joint += (of_class / of_class.sum()).log()",
            "joint += 0 * (of_class / of_class.sum()).log()",
        ),
        (
            "best tree: entropies added",
            "(edges - entropies.sum())) < 1e-9",
            "(edges + entropies.sum())) < 1e-9",
        ),
    ),
]
