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
            "torch.cdist(place, place).argsort",
            "(-torch.cdist(place, place)).argsort",
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
            "return -on.log().sum(1).mean()",
            "return -on.log().mean(1).mean()",
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
            "joint = on @ ink.log().T + off @ (1 - ink).log().T",
            "joint = on @ ink.log().T",
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
    *changes(
        "02",
        "genlib/models/graphical/tables.py",
        TESTS,
        (
            "network by counting: smoothing left out",
            "counts += self.smoothing",
            "counts += 0 * self.smoothing",
            "test_a_network_is_a_product_of_counted_tables",
        ),
        (
            "network by counting: divided by all rows",
            "rows /= rows.sum(1, keepdim=True)",
            "rows /= rows.sum(0, keepdim=True)",
            "test_a_network_is_a_product_of_counted_tables",
        ),
        (
            "network: the mean of the factors' logarithms",
            "return picked.sum(0, dtype=torch.float64)",
            "return picked.mean(0, dtype=torch.float64)",
            "test_a_network_is_a_product_of_counted_tables",
        ),
        (
            "free parameters: a row's last number counted",
            "return sum(rows * (columns - 1) for",
            "return sum(rows * columns for",
            "test_free_parameters_of_chains_and_networks_are_those_that_the_lesson_prints",
        ),
    ),
    *changes(
        "02",
        "genlib/models/graphical/bayes_net.py",
        f"{GRAPHICAL}/test_bayes_net.py",
        (
            "inference: not divided by p(evidence)",
            "answer = (values / total).transpose",
            "answer = values.transpose",
            "TestEnumeration",
        ),
        (
            "inference: parents of what is asked for left out",
            "stack.extend(self.families[i][:-1])",
            "stack.extend(self.families[i][:0])",
            "TestEnumeration",
        ),
        (
            "Markov chain: one variable further back",
            "range(max(0, i - order), i)",
            "range(max(0, i - order - 1), i)",
            "TestMarkovChain",
        ),
        (
            "homogeneous chain: a table for every step",
            "shared_from=order if homogeneous else None",
            "shared_from=None",
            "TestMarkovChain",
        ),
    ),
    *changes(
        "02",
        "genlib/models/graphical/bayes_net.py",
        f"{GRAPHICAL}/test_contract.py",
        (
            "ancestral sampling: a parent's state left out",
            "row = sum(x[j] * step for j, step in parents)",
            "row = sum(0 * x[j] * step for j, step in parents)",
            "TestContract::test_probabilities_sum_to_one_and_samples_follow_them",
        ),
    ),
    *changes(
        "02",
        "genlib/models/graphical/elimination.py",
        f"{GRAPHICAL}/test_elimination.py",
        (
            "elimination: a variable summed out while other tables hold it",
            "if holders[i] <= used]) - kept",
            "if holders[i] & used]) - kept",
            "TestSums",
        ),
    ),
    *changes(
        "02",
        "genlib/models/graphical/trees.py",
        f"{GRAPHICAL}/test_trees.py",
        (
            "mutual information: the singles' product multiplies",
            "xlogy(joint, joint / (single[:, None] * single).clamp_min(1e-300))",
            "xlogy(joint, joint * (single[:, None] * single).clamp_min(1e-300))",
            "TestMutualInformation",
        ),
        (
            "mutual information: counts for shares",
            "joint = pairs / len(x)",
            "joint = pairs",
            "TestMutualInformation",
        ),
        (
            "best tree: the worst",
            "weights = -(information.clamp_min(0) + 1).fill_diagonal_(0)",
            "weights = (information.clamp_min(0) + 1).fill_diagonal_(0)",
            "TestChowLiu",
        ),
    ),
    *changes(
        "02",
        "genlib/models/graphical/naive_bayes.py",
        f"{GRAPHICAL}/test_naive_bayes.py",
        (
            "naive Bayes: the prior left out",
            "return torch.cat(scores, 1) + self.log_prior.double()[:, None]",
            "return torch.cat(scores, 1)",
            "TestBernoulli",
        ),
        (
            "naive Bayes: the label not summed out but the best one taken",
            "return joint.logsumexp(0).to(x.dtype)",
            "return joint.amax(0).to(x.dtype)",
            "TestBernoulli",
        ),
        (
            "naive Bayes: p(x, y) for p(x | y)",
            "(joint.gather(0, y[None])[0] - self.log_prior.double()[y])",
            "joint.gather(0, y[None])[0]",
        ),
        (
            "naive Bayes: one pseudo-count a class, not one of each kind",
            "total = (rows + 2 * model.smoothing).log()",
            "total = (rows + model.smoothing).log()",
            "TestBernoulli",
        ),
        (
            "naive Bayes: absent words left out",
            "odds, none = present - absent, absent.sum(1, keepdim=True)",
            "odds, none = present - absent, 0 * absent.sum(1, keepdim=True)",
            "TestBernoulli",
        ),
        (
            "naive Bayes: missing words taken to be absent",
            "return odds @ (x * known).T + absent @ known.T",
            "return odds @ (x * known).T + none",
            "TestBernoulli",
        ),
    ),
    *changes(
        "02",
        "genlib/data/mail.py",
        "tests/data/test_mail.py",
        (
            "mail: words not shared where they depend",
            "shares = uniform((n, groups), p, generator) < self.dependence",
            "shares = uniform((n, groups), p, generator) > self.dependence",
            "TestSamples",
        ),
        (
            "mail: as much ham as there should be spam",
            "y = (uniform((n,), p, generator) < self.spam).long()",
            "y = (uniform((n,), p, generator) > self.spam).long()",
            "TestSamples",
        ),
    ),
]
