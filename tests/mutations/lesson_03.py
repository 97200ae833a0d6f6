"""Lesson 03: maximum likelihood, counting, Parzen windows, nearest neighbours."""

from tests.mutations.changes import changes

LESSON = "lessons/03_density_estimation/lesson.ipynb"
TESTS = "tests/lessons/test_density_estimation.py"
DENSITY = "genlib/models/density"
MODELS = "tests/models/test_density.py"
GAUSSIAN = "TestGaussian::test_is_the_sample_s_mean_and_covariance"
KERNEL = "tests/kernels/test_kde.py"
DEFINITION = "test_float32_agrees_with_the_definition"
GRADIENTS = "test_gradients_are_those_of_the_definition"
PARZEN = "TestParzen::test_equals_the_definition"

MUTATIONS = [
    *changes(
        "03",
        LESSON,
        TESTS,
        (
            "likelihood of a Gaussian: log det not halved",
            "log_top = 0.5 * torch.logdet(",
            "log_top = torch.logdet(",
            "test_the_mean_log_likelihood_is_that_of_scipys_normal_density",
        ),
        (
            "likelihood of a Gaussian: the square added",
            "- quadratic / 2).mean()",
            "+ quadratic / 2).mean()",
            "test_the_mean_log_likelihood_is_that_of_scipys_normal_density",
        ),
        (
            "hidden switch: a variance of one",
            "4.0 * switch - 2 + math.sqrt(0.5) * torch.randn(n)",
            "4.0 * switch - 2 + torch.randn(n)",
            "test_the_density_with_a_hidden_switch",
        ),
        (
            "hidden switch: its halves added, not averaged",
            "torch.logsumexp(torch.stack(pieces), 0) - math.log(2)",
            "torch.logsumexp(torch.stack(pieces), 0)",
            "test_the_density_with_a_hidden_switch",
        ),
        (
            "hidden switch: the distribution function of a unit normal",
            "1 + torch.erf(x - m)",
            "1 + torch.erf((x - m) / math.sqrt(2))",
            "test_the_density_with_a_hidden_switch",
        ),
        (
            "without the switch: a variance of four and a quarter",
            "q = -0.5 * axis**2 / 4.5 - 0.5 * math.log(2 * math.pi * 4.5)",
            "q = -0.5 * axis**2 / 4.25 - 0.5 * math.log(2 * math.pi * 4.25)",
            "test_without_the_switch_the_loss_is_that_of_the_gaussian_with_the_same_moments",
        ),
        (
            "parameters of a Gaussian: the diagonal of its covariance halved",
            "count = d + d * (d + 1) // 2",
            "count = d + d * d // 2",
            "test_the_parameters_of_a_gaussian_are_its_mean_and_one_triangle",
        ),
        (
            "counting: the variance of K over N without 1 - P",
            "variance = P * (1 - P) / (n * widths**2)",
            "variance = P / (n * widths**2)",
            "test_bias_and_variance_of_a_count_are_those_of_a_binomial",
        ),
        (
            "loss of a fit: the sign of log det",
            "0.5 * (trace + shift - d + torch.logdet(sigma))",
            "0.5 * (trace + shift - d - torch.logdet(sigma))",
            "test_the_loss_of_a_fit_is_torchs_divergence",
        ),
        (
            "loss of a fit: divided by N - 1",
            "@ (x - mean[:, None]) / n\\n",
            "@ (x - mean[:, None]) / (n - 1)\\n",
            "test_the_loss_of_a_fit_is_torchs_divergence",
        ),
        (
            "histogram by hand: not divided by the volume",
            "(K[cell(x)] / len(train) * bins**3).log()",
            "(K[cell(x)] / len(train)).log()",
            "test_the_histogram_counts_by_loops",
        ),
        (
            "histogram by hand: two dimensions share their cells",
            "place[:, 0] * bins**2 + place[:, 1] * bins + place[:, 2]",
            "place[:, 0] * bins + place[:, 1] * bins + place[:, 2]",
            "test_the_histogram_counts_by_loops",
        ),
        (
            "cube by hand: h is half a side",
            "((x[:, None] - train).abs() < h / 2).all(-1)",
            "((x[:, None] - train).abs() < h).all(-1)",
            "test_the_window_is_a_cube_of_side_h",
        ),
        (
            "cube by hand: any side for all",
            "((x[:, None] - train).abs() < h / 2).all(-1)",
            "((x[:, None] - train).abs() < h / 2).any(-1)",
            "test_the_window_is_a_cube_of_side_h",
        ),
        (
            "neighbours by hand: the radius not to the power d",
            "- log_ball - d * radius.log()",
            "- log_ball - radius.log()",
            "test_neighbours_in_a_ball_that_holds_k",
        ),
        (
            "neighbours by hand: the ball's gamma function",
            "math.lgamma(d / 2 + 1)\\n",
            "math.lgamma(d / 2)\\n",
            "test_neighbours_in_a_ball_that_holds_k",
        ),
        (
            "dequantisation: u left out",
            "found = (found * 255 + torch.rand(found.shape)) / 256",
            "found = (found * 255 + 0 * torch.rand(found.shape)) / 256",
            "test_colours_of_rectangles_are_dequantised",
        ),
        (
            "Bayes rule: log odds turned round",
            "return models[0].log_prob(x) - models[1].log_prob(x)",
            "return models[1].log_prob(x) - models[0].log_prob(x)",
            "test_log_odds_and_classes_follow_bayes_rule",
        ),
        (
            "Bayes rule: the prior of a class left out",
            "joint[:, c] = model.log_prob(questions) + prior.log()",
            "joint[:, c] = model.log_prob(questions) + 0 * prior.log()",
            "test_log_odds_and_classes_follow_bayes_rule",
        ),
        (
            "mean loss: the truth's squares not halved",
            "truth = -0.5 * (x**2).sum(1) - d / 2",
            "truth = -((x**2).sum(1)) - d / 2",
            "test_the_mean_loss_of_a_gaussian_is_the_closed_form_that_the_lesson_prints",
        ),
        (
            "squared error: one blur where two points meet",
            "(1 - 1 / n) * (1 + h2) ** (-d / 2)",
            "(1 - 1 / n) * (1 + h2 / 2) ** (-d / 2)",
            "test_the_least_squared_error_is_that_of_quadrature",
        ),
        (
            "squared error: a kernel with itself left out",
            "pairs = h2 ** (-d / 2) / n + ",
            "pairs = 0 * h2 ** (-d / 2) / n + ",
            "test_the_least_squared_error_is_that_of_quadrature",
        ),
        (
            "squared error: the cross term taken once",
            "return pairs - 2 * (1 + h2 / 2)",
            "return pairs - (1 + h2 / 2)",
            "test_the_least_squared_error_is_that_of_quadrature",
        ),
        (
            "error at the top: the squared kernel's blur",
            "second = (2 * h2 * (1 + h2 / 2)) ** (-d / 2)",
            "second = (2 * h2 * (1 + h2)) ** (-d / 2)",
            "test_the_relative_error_at_the_top_is_that_of_the_best_bandwidth",
        ),
        (
            "error at the top: bias not squared",
            "return (mean - 1) ** 2 + (second",
            "return (1 - mean) + (second",
            "test_the_relative_error_at_the_top_is_that_of_the_best_bandwidth",
        ),
    ),
    *changes(
        "03",
        LESSON,
        LESSON,
        (
            "maximum likelihood: divided by N - 1",
            "covariance = (x - mean).T @ (x - mean) / len(x)",
            "covariance = (x - mean).T @ (x - mean) / (len(x) - 1)",
        ),
        (
            "loss of a fit, its mean: the digamma functions' sign",
            "(n - d - 2) - d + digamma",
            "(n - d - 2) - d - digamma",
        ),
        (
            "counting: the variance of K over N",
            "variance = P * (1 - P) / (n * widths**2)",
            "variance = P * (1 - P) / (n * widths)",
        ),
        (
            "counting: the variance of K without N",
            "variance = n * P * (1 - P)",
            "variance = P * (1 - P)",
        ),
        (
            "counting: the variance of K without 1 - P",
            "variance = n * P * (1 - P)",
            "variance = n * P",
        ),
        (
            "counting: the exponent of 1 - P",
            "for exponent in (10 - k, 1.0 - k))",
            "for exponent in (9.0 - k, 1.0 - k))",
        ),
        (
            "neighbours: the deviation of log P without N",
            "- special.polygamma(1, n + 1)",
            "+ special.polygamma(1, n + 1)",
        ),
        (
            "blur of a Gaussian window: h for its square",
            "wide = math.sqrt(0.5 + h**2)",
            "wide = math.sqrt(0.5 + h)",
        ),
    ),
    *changes(
        "03",
        f"{DENSITY}/gaussian.py",
        MODELS,
        (
            "Gaussian: the covariance divided by N - 1",
            '== "diagonal").div_(len(x))',
            '== "diagonal").div_(len(x) - 1)',
            GAUSSIAN,
        ),
        (
            "Gaussian: the ridge left out",
            "sigma.diagonal().add_(self.ridge)",
            "sigma.diagonal().add_(0 * self.ridge)",
            "TestGaussian::test_a_singular_covariance_says_so",
        ),
        (
            "Gaussian: log det twice",
            "at_mean = -self.scale_tril.diagonal().log().sum()",
            "at_mean = -2 * self.scale_tril.diagonal().log().sum()",
            GAUSSIAN,
        ),
        (
            "Gaussian: 2 pi not under a root",
            "len(x.T) / 2 * math.log(2 * math.pi)",
            "len(x.T) * math.log(2 * math.pi)",
            GAUSSIAN,
        ),
        (
            "Gaussian: the square not halved",
            "torch.sub(at_mean, squares, alpha=0.5)",
            "torch.sub(at_mean, squares)",
            GAUSSIAN,
        ),
        (
            "Gaussian: the mean stays in",
            "whiten((part - self.loc).T)",
            "whiten(part.T)",
            GAUSSIAN,
        ),
        (
            "Gaussian: drawn by the transposed factor",
            "self.loc + noise @ self.scale_tril.T",
            "self.loc + noise @ self.scale_tril",
            "TestContract",
        ),
    ),
    *changes(
        "03",
        f"{DENSITY}/laplace.py",
        MODELS,
        (
            "Laplace: 2 left out",
            "(2 * self.scale).log()",
            "self.scale.log()",
            "TestLaplace",
        ),
        (
            "Laplace: the mean for the median",
            "x.median(0).values",
            "x.mean(0)",
            "TestLaplace",
        ),
    ),
    *changes(
        "03",
        f"{DENSITY}/histogram.py",
        MODELS,
        (
            "histogram: the volume multiplies",
            "math.log(self._mass()) - log_volume",
            "math.log(self._mass()) + log_volume",
            "TestHistogram",
        ),
        (
            "histogram: smoothing of the cells that hold data alone",
            "self.smoothing * math.prod(self.shape.tolist())",
            "self.smoothing * len(self.cells)",
            "TestHistogram",
        ),
        (
            "histogram: Scott's rule with another power",
            "len(x) ** (-1 / (d + 2))",
            "len(x) ** (-1 / (d + 4))",
            "TestHistogram",
        ),
    ),
    *changes(
        "03",
        f"{DENSITY}/parzen.py",
        MODELS,
        (
            "Parzen: not divided by the volume of the window",
            "return self._window.log_sum(x, y, h, w) - self._log_volume(h)",
            "return self._window.log_sum(x, y, h, w)",
            PARZEN,
        ),
        (
            "Parzen: h once instead of in every dimension",
            "return h.log().sum() + self._window",
            "return h.log().mean() + self._window",
            PARZEN,
        ),
        (
            "Parzen: Scott's rule with another power",
            "count ** (-1 / (d + 4)) * self._window",
            "count ** (-1 / (d + 2)) * self._window",
            "TestParzen::test_rules_are_stated_for_the_window_s_standard_deviation",
        ),
        (
            "Parzen: Silverman's factor inverted",
            "(4 / (d + 2)) ** (1 / (d + 4))",
            "(4 / (d + 2)) ** (-1 / (d + 4))",
            "TestParzen::test_weighted_rules_equal_scipy_s",
        ),
        (
            "leave-one-out: nothing left out",
            "h, w, leave_one_out=True)",
            "h, w, leave_one_out=False)",
            "TestParzen::test_leave_one_out_leaves_one_out",
        ),
        (
            "leave-one-out: N for N - 1",
            "return log_sum - _log_rest(w) - self._log_volume(h)",
            "return log_sum - self._log_volume(h)",
            "TestParzen::test_leave_one_out_leaves_one_out",
        ),
    ),
    *changes(
        "03",
        f"{DENSITY}/windows.py",
        MODELS,
        (
            "Parzen: 2 pi of the Gaussian window",
            "return d / 2 * math.log(2 * math.pi)",
            "return d / 2 * math.log(math.pi)",
            PARZEN,
        ),
        (
            "Parzen: a cube of half-side h",
            "(a - b).abs() < side / 2",
            "(a - b).abs() < side",
            PARZEN,
        ),
    ),
    *changes(
        "03",
        f"{DENSITY}/nearest.py",
        MODELS,
        (
            "neighbours: N for K",
            "math.log(self.k / len(self.points)) -",
            "math.log(1 / len(self.points)) -",
            "TestKNearest::test_is_k_over_nv_with_the_growing_ball",
        ),
        (
            "neighbours: one neighbour fewer",
            "self.tree.query(x.numpy(), k=[k])",
            "self.tree.query(x.numpy(), k=[k - 1])",
            "TestKNearest::test_is_k_over_nv_with_the_growing_ball",
        ),
        (
            "neighbours: the radius not to the power d",
            "log_unit_ball(d) - d * radius.log()",
            "log_unit_ball(d) - radius.log()",
            "TestKNearest::test_is_k_over_nv_with_the_growing_ball",
        ),
    ),
    *changes(
        "03",
        "genlib/kernels/kde/_direct.py",
        KERNEL,
        (
            "sum of kernels, small inputs: the square not halved",
            "t = torch.addcmul(log_w, distance, distance, value=-0.5)",
            "t = torch.addcmul(log_w, distance, distance, value=-1)",
            DEFINITION,
        ),
        (
            "sum of kernels, small inputs: weights left out",
            "else w.double().log()\n    t = torch.addcmul(",
            "else 0 * w.double()\n    t = torch.addcmul(",
            DEFINITION,
        ),
        (
            "sum of kernels by products: exponents to base e",
            "unit = h.double() * math.sqrt(LN_2)",
            "unit = h.double()",
            DEFINITION,
        ),
        (
            "sum of kernels, small inputs: a gradient that pushes",
            "found[0] = weighted.sum(2).T / -h",
            "found[0] = weighted.sum(2).T / h",
            GRADIENTS,
        ),
    ),
    *changes(
        "03",
        "genlib/kernels/kde/_forms.py",
        KERNEL,
        (
            "sum of kernels by differences: the square not halved",
            "self.unit.square() / (2 * LN_2)",
            "self.unit.square() / LN_2",
            DEFINITION,
        ),
        (
            "sum of kernels by products: norms not halved",
            "Points(at, at.square().sum(1) / 2)",
            "Points(at, at.square().sum(1))",
            DEFINITION,
        ),
        (
            "sum of kernels by differences: a gradient that pushes",
            "sums.column[k, tile.columns] -= weighted.sum(0)",
            "sums.column[k, tile.columns] += weighted.sum(0)",
            GRADIENTS,
        ),
    ),
    *changes(
        "03",
        "genlib/kernels/kde/_passes.py",
        KERNEL,
        (
            "sum of kernels: the largest weight left out",
            "f = log_sum * LN_2 + weights.peak",
            "f = log_sum * LN_2",
            DEFINITION,
        ),
        (
            "sum of kernels: nothing left out",
            "rows if leave_one_out else None)",
            "None)",
            "test_leave_one_out_leaves_one_out",
        ),
        (
            "sum of kernels: the gradient of the bandwidth turned round",
            "h_gradient += sums.square * form.unit * per_bandwidth",
            "h_gradient -= sums.square * form.unit * per_bandwidth",
            GRADIENTS,
        ),
    ),
    *changes(
        "03",
        "genlib/kernels/kde/_tiles.py",
        KERNEL,
        (
            "sum of kernels, online: old sums not scaled to the new top",
            "total *= torch.exp2(top.double() - shift)",
            "total *= 1",
            "test_a_reference_that_is_far_too_low_is_raised",
        ),
    ),
]
