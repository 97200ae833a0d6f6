"""Lesson 07: masks, gates, LSTMs over pixels, logistic mixtures, scales, caches."""

from tests.mutations.changes import changes

MUTATIONS = [
    *changes(
        "07",
        "lessons/07_pixel_models/lesson.ipynb",
        "tests/lessons/test_pixel_models.py",
        (
            "masks by hand: the centre in mask A",
            '(place < centre + (kind == \\"B\\")).float()',
            "(place < centre + 1).float()",
            "test_masks_open_what_comes_before",
        ),
        (
            "masks by hand: no centre in mask B",
            '(place < centre + (kind == \\"B\\")).float()',
            "(place < centre).float()",
            "test_masks_open_what_comes_before",
        ),
        (
            "masks by hand: weights without their mask",
            "F.conv2d(x, self.weight * self.mask, self.bias",
            "F.conv2d(x, self.weight, self.bias",
            "test_hand_written_pixel_cnn_sums_to_one",
        ),
        (
            "row LSTM by hand: gates exchanged",
            "out, forget, take, new = (row + handed_down)",
            "out, take, forget, new = (row + handed_down)",
            "test_row_lstm_is_torchs_lstm_cell_at_every_place",
        ),
        (
            "row LSTM by hand: sigmoid for tanh",
            "take.sigmoid() * new.tanh()",
            "take.sigmoid() * new.sigmoid()",
            "test_row_lstm_is_torchs_lstm_cell_at_every_place",
        ),
        (
            "row LSTM by hand: nothing handed down",
            "(row + handed_down).chunk(4, 1)",
            "row.chunk(4, 1)",
            "test_row_lstm_is_torchs_lstm_cell_at_every_place",
        ),
        (
            "diagonals by hand: rows shifted the other way",
            "wide[r, r : r + width] = x[r]",
            "wide[r, height - 1 - r : height - 1 - r + width] = x[r]",
            "test_skewed_columns_are_diagonals",
        ),
        (
            "logistic mixture by hand: bins a level off",
            "(torch.arange(levels + 1).to(means) - 0.5) / (levels - 1)",
            "torch.arange(levels + 1).to(means) / (levels - 1)",
            "test_level_probabilities_are_differences_of_scipys_logistic",
        ),
        (
            "logistic mixture by hand: levels of 1/256",
            "- 0.5) / (levels - 1)",
            "- 0.5) / levels",
            "test_level_probabilities_are_differences_of_scipys_logistic",
        ),
        (
            "logistic mixture by hand: closed ends",
            "below[0], below[-1] = 0, 1",
            "below[0], below[-1] = below[0], below[-1]",
            "test_level_probabilities_are_differences_of_scipys_logistic",
        ),
        (
            "logistic mixture by hand: scales for their logarithms",
            "- means) / log_scales.exp()).sigmoid()",
            "- means) / log_scales).sigmoid()",
            "test_level_probabilities_are_differences_of_scipys_logistic",
        ),
        (
            "logistic mixture by hand: weights not normalised",
            "below.diff(dim=0) @ logits.softmax(0)",
            "below.diff(dim=0) @ logits.exp()",
            "test_level_probabilities_are_differences_of_scipys_logistic",
        ),
    ),
    *changes(
        "07",
        "genlib/nn/masked_conv.py",
        "tests/models/autoregressive/test_pixel_formulas.py",
        (
            "mask A: sees the colour that it predicts",
            'return source < target if kind == "A"',
            'return source <= target if kind == "A"',
        ),
        (
            "mask B: a feature cannot look at itself",
            "else source <= target",
            "else source < target",
        ),
        (
            "masks: the row to the right is seen",
            "mask[:, :, -1, reach + 1 :] = False",
            "mask[:, :, -1, reach + 1 :] = True",
        ),
        (
            "masks: no mask",
            "self.weight if self.mask is None else self.weight.where(self.mask, 0)",
            "self.weight",
        ),
        (
            "masks: a window one row up",
            "F.pad(x, (left, right, above, below))",
            "F.pad(x, (left, right, above + 1, below - 1))",
        ),
        (
            "masks: a window one column to the left",
            "F.pad(x, (left, right, above, below))",
            "F.pad(x, (left + 1, right - 1, above, below))",
        ),
        (
            "two stacks: the vertical one sees the current row",
            "Window(reach, -1 if first else 0, reach, reach)",
            "Window(reach, 0, reach, reach)",
        ),
    ),
    *changes(
        "07",
        "genlib/models/autoregressive/pixels.py",
        "tests/models/autoregressive/test_pixel_formulas.py",
        (
            "pixels: not scaled to [-1, 1]",
            "self.network(2 * x - 1, cache)",
            "self.network(x, cache)",
        ),
    ),
    *changes(
        "07",
        "genlib/models/autoregressive/gated_pixel_cnn.py",
        "tests/models/autoregressive/test_pixel_formulas.py",
        (
            "gated: pixels not scaled to [-1, 1]",
            "self.network(2 * x - 1, cache, y)",
            "self.network(x, cache, y)",
        ),
        (
            "gate: sine for tanh",
            "value.tanh() * gate.sigmoid()",
            "value.sin() * gate.sigmoid()",
        ),
        (
            "gate: cosine for sigmoid",
            "value.tanh() * gate.sigmoid()",
            "value.tanh() * gate.cos()",
        ),
        (
            "gate: a sum for the product",
            "value.tanh() * gate.sigmoid()",
            "value.tanh() + gate.sigmoid()",
        ),
        (
            "gate: halves exchanged",
            "value, gate = h.unflatten",
            "gate, value = h.unflatten",
        ),
        (
            "gate: halves of all channels, not of each colour's",
            "h.unflatten(1, (self.groups, 2, -1)).unbind(2)",
            "h.unflatten(1, (2, self.groups, -1)).unbind(1)",
        ),
        (
            "without gates: tanh for a rectified linear unit",
            "            return F.relu(h)\n",
            "            return F.tanh(h)\n",
        ),
        (
            "two stacks: the link left out",
            "seen = self.horizontal(h, cache) + above",
            "seen = self.horizontal(h, cache)",
        ),
        (
            "two stacks: the link subtracted",
            "seen = self.horizontal(h, cache) + above",
            "seen = self.horizontal(h, cache) - above",
        ),
        (
            "two stacks: the link a row late",
            "seen = self.horizontal(h, cache) + above",
            "seen = self.horizontal(h, cache) + F.pad(above, (0, 0, 1, -1))",
        ),
        (
            "two stacks: no layer on the link",
            "self.link(h, cache)\n",
            "h\n",
        ),
        (
            "gated: the residual left out",
            "return out if self.first else h + out",
            "return out",
        ),
        (
            "gated: a layer without its 1 x 1 convolution",
            "out = self.out(self._gate(self._add_label(seen, y, 1)), cache)",
            "out = self._gate(self._add_label(seen, y, 1))",
        ),
        (
            "labels: no bias",
            "return h if y is None else h + self.label(y)",
            "return h if y is None else h + 0 * self.label(y)",
        ),
        (
            "labels: the other stack's bias",
            ".chunk(2, 1)[stack]",
            ".chunk(2, 1)[1 - stack]",
        ),
        (
            "labels: the bias subtracted",
            "return h if y is None else h + self.label(y)",
            "return h if y is None else h - self.label(y)",
        ),
        (
            "scales: the features of the small image left out",
            "h = h + self.context(context, cache)",
            "h = h + 0 * self.context(context, cache)",
        ),
    ),
    *changes(
        "07",
        "genlib/models/autoregressive/pixel_cnn.py",
        "tests/models/autoregressive/test_pixel_formulas.py",
        (
            "PixelCNN: the residual left out",
            "return x + self.widen(",
            "return self.widen(",
        ),
        (
            "PixelCNN: the residual subtracted",
            "return x + self.widen(",
            "return x - self.widen(",
        ),
        (
            "PixelCNN: a block without its first rectification",
            "self.narrow(F.relu(x), cache)",
            "self.narrow(x, cache)",
        ),
        (
            "PixelCNN: tanh for a rectified linear unit",
            "self.middle(F.relu(h), cache)",
            "self.middle(F.tanh(h), cache)",
        ),
        (
            "PixelCNN: no rectification before the output",
            "return F.relu(self.hidden(F.relu(h), cache))",
            "return self.hidden(F.relu(h), cache)",
        ),
    ),
    *changes(
        "07",
        "genlib/models/autoregressive/gated_pixel_cnn.py",
        "tests/models/autoregressive/test_pixel_labels.py",
        (
            "labels: the marginal sums without dividing",
            ".logsumexp(0) - math.log(self.classes)",
            ".logsumexp(0)",
            "test_each_class_is_a_distribution_of_its_own",
        ),
        (
            "labels: completions take any label",
            "choose(terms.where(known.flatten(1), 0).sum(2).T, generator)",
            "choose(0 * terms.sum(2).T, generator)",
            "test_completions_take_the_label_from_what_is_known",
        ),
    ),
    *changes(
        "07",
        "genlib/models/autoregressive/pixel_rnn.py",
        "tests/models/autoregressive/test_pixel_formulas.py",
        (
            "LSTM over pixels: input and output gates exchanged",
            "out, forget, take, new = gates",
            "take, forget, out, new = gates",
        ),
        (
            "LSTM over pixels: forget and input gates exchanged",
            "out, forget, take, new = gates",
            "out, take, forget, new = gates",
        ),
        (
            "LSTM over pixels: sigmoid for tanh of the candidate",
            "take.sigmoid() * new.tanh()",
            "take.sigmoid() * new.sigmoid()",
        ),
        (
            "LSTM over pixels: the old state thrown away",
            "c = kept + (take",
            "c = 0 * kept + (take",
        ),
        (
            "LSTM over pixels: the state shown as it is",
            ".flatten(1, 2) * c.tanh(), c",
            ".flatten(1, 2) * c, c",
        ),
        (
            "row LSTM: the residual left out",
            "        h = self._rows(gates) if cache is None else self._place(gates, cache)\n        return x + self.out(h, cache)",
            "        h = self._rows(gates) if cache is None else self._place(gates, cache)\n        return self.out(h, cache)",
        ),
        (
            "row LSTM: states of the row above not convolved in",
            "_lstm(row + self.state(h), c, self.groups)",
            "_lstm(row + 0 * self.state(h), c, self.groups)",
        ),
        (
            "diagonal LSTM: the right one in the same row",
            "F.pad(self.right(x.flip(3)).flip(3), (0, 0, 1, -1))",
            "self.right(x.flip(3)).flip(3)",
        ),
        (
            "diagonal LSTM: the right one from the left",
            "self.right(x.flip(3)).flip(3)",
            "self.right(x)",
        ),
        (
            "diagonal LSTM: the right one left out",
            "h = self.left(x) + right",
            "h = self.left(x)",
        ),
        (
            "diagonal LSTM: states beyond the border",
            "h, c = h * mask, c * mask",
            "h, c = h, c",
        ),
        (
            "diagonals: rows shifted the other way",
            "diagonal + self.state(F.pad(h, (1, 0)))",
            "diagonal + self.state(F.pad(h, (0, 1)))",
        ),
    ),
    *changes(
        "07",
        "genlib/models/autoregressive/pixel_cnn_pp.py",
        "tests/models/autoregressive/test_pixel_formulas.py",
        (
            "PixelCNN++: value + gate for value times sigmoid of gate",
            "return x + value * gate.sigmoid()",
            "return x + value + gate",
        ),
        (
            "PixelCNN++: the residual left out",
            "return x + value * gate.sigmoid()",
            "return value * gate.sigmoid()",
        ),
        (
            "PixelCNN++: value and gate exchanged",
            "return x + value * gate.sigmoid()",
            "return x + gate * value.sigmoid()",
        ),
        (
            "PixelCNN++: ReLU for the pair of ELUs",
            "F.elu(torch.cat([x, -x], 1))",
            "F.relu(torch.cat([x, -x], 1))",
        ),
        (
            "PixelCNN++: the same ELU twice",
            "F.elu(torch.cat([x, -x], 1))",
            "F.elu(torch.cat([x, x], 1))",
        ),
        (
            "PixelCNN++: further features left out",
            "h = h + self.further(",
            "h = h + 0 * self.further(",
        ),
        (
            "PixelCNN++: short-cuts in the wrong order",
            "down[-1 - i]",
            "down[i]",
        ),
        (
            "PixelCNN++: the guide's way down on the way up",
            "[guide.up[i]]",
            "[guide.down[i]]",
        ),
        (
            "PixelCNN++: the vertical stack sees the current row",
            "Window(2, -1, 1, 1), **image)",
            "Window(1, 0, 1, 1), **image)",
        ),
        (
            "PixelCNN++: the shift to the right left out",
            "Window(1, 0, 1, -1), **image)",
            "Window(1, 0, 0, 0), **image)",
        ),
        (
            "PixelCNN++: the row above left out",
            "h = self.row_above(x, cache) + self.left(x, cache)",
            "h = self.left(x, cache)",
        ),
        (
            "PixelCNN++: no last ELU",
            "return F.elu(self.horizontal(h, guide, cache).up[-1])",
            "return self.horizontal(h, guide, cache).up[-1]",
        ),
        (
            "PixelCNN++: squares turned over when enlarged",
            "return F.pixel_shuffle(self.grow(coarse.up[-1]), 2), coarse",
            "return F.pixel_shuffle(self.grow(coarse.up[-1]), 2).flip(3), coarse",
        ),
    ),
    *changes(
        "07",
        "genlib/models/autoregressive/multi_scale.py",
        "tests/models/autoregressive/test_pixel_formulas.py",
        (
            "scales: the small image off by a column",
            "        if cache is None:\n            return self.enlarge(small)",
            "        if cache is None:\n            return self.enlarge(small.roll(1, 3))",
        ),
        (
            "scales: the small image predicted twice",
            "out[..., ::2, ::2] = self.coarse.network(small)",
            "self.coarse.network(small)",
        ),
        (
            "scales: an enlargement without its last rectification",
            "            nn.ConvTranspose2d(channels, channels, 2, stride=2),\n            nn.ReLU(),",
            "            nn.ConvTranspose2d(channels, channels, 2, stride=2),",
        ),
    ),
    *changes(
        "07",
        "genlib/models/autoregressive/multi_scale.py",
        "tests/models/autoregressive/test_multi_scale.py",
        (
            "scales: the large image first",
            "argsort(descending=True, stable=True)",
            "argsort(stable=True)",
            "test_the_small_image_comes_first_and_both_parts_are_in_reading_order",
        ),
    ),
    *changes(
        "07",
        "genlib/nn/heads.py",
        "tests/models/autoregressive/test_pixel_formulas.py",
        (
            "categorical head: channels by level, not by colour",
            "out.unflatten(1, (-1, self.levels)).transpose(1, 2)",
            "out.unflatten(1, (self.levels, -1))",
        ),
        (
            "categorical head: the sign",
            "return -F.cross_entropy(logits, level",
            "return F.cross_entropy(logits, level",
        ),
        (
            "mixture: scales of another unit",
            "log_scales - 2",
            "log_scales - 1",
        ),
        (
            "mixture: means not spread",
            "means = (means + spread[:, None, None]).unbind(1)",
            "means = means.unbind(1)",
        ),
        (
            "mixture: means that do not move with the colours before",
            "shifted = [mean + shift for",
            "shifted = [mean + 0 * shift for",
        ),
        (
            "mixture: means that move the other way",
            "shifted = [mean + shift for",
            "shifted = [mean - shift for",
        ),
        (
            "mixture: weights that forget red when blue comes",
            "(weights[c] + shown)",
            "(weights[0] + shown)",
        ),
        (
            "mixture: weights not changed by the colours shown",
            "(weights[c] + shown)",
            "(weights[c] + 0 * shown)",
        ),
    ),
    *changes(
        "07",
        "genlib/nn/heads.py",
        "tests/nn/test_heads.py",
        (
            "mixture: draws that do not round to a level",
            "(value.clamp(0, 1) * (self.levels - 1)).round()",
            "(value.clamp(0, 1) * (self.levels - 1)).floor()",
            "test_draws_follow_the_conditionals",
        ),
        (
            "mixture: draws of unit scale",
            "log_scale.gather(-1, chosen)[..., 0].exp() * place",
            "place",
            "test_draws_follow_the_conditionals",
        ),
    ),
    *changes(
        "07",
        "genlib/kernels/logistic_mixture.py",
        "tests/models/autoregressive/test_pixel_formulas.py",
        (
            "bins: scales not exponentials",
            "inverse = log_scales.clamp(-math.log(far), _FLAT).mul_(-1 / _LN2)",
            "inverse = log_scales.clamp(-math.log(far), _FLAT).mul_(1 / _LN2)",
        ),
        (
            "bins: half as wide",
            "below = (level == 0).to(x).mul_(infinite).add_(0.5)",
            "below = (level == 0).to(x).mul_(infinite).add_(0.25)",
        ),
        (
            "bins: the first one closed",
            "below = (level == 0).to(x)",
            "below = (level < 0).to(x)",
        ),
        (
            "bins: the last one closed",
            "above = (level == levels - 1).to(x)",
            "above = (level > levels - 1).to(x)",
        ),
        (
            "mixture: logits not normalised",
            "return _log_sum_exp2(joint).sub_(_log_sum_exp2(logits / _LN2))",
            "return _log_sum_exp2(joint)",
        ),
    ),
    *changes(
        "07",
        "genlib/nn/incremental.py",
        "tests/models/autoregressive/test_pixel_models.py",
        (
            "cache: a window of the row before",
            "rows.write(x, self.row, left + self.columns.start)",
            "rows.write(x, self.row, left + self.columns.start) if self.row else None",
            "test_the_same_noise_gives_the_same_images_with_and_without_a_memory",
        ),
    ),
    *changes(
        "07",
        "genlib/nn/incremental.py",
        "tests/nn/test_incremental.py",
        (
            "cache: rows that are never moved up",
            "F.pad(self.values[:, 1:], (0, 0, 0, 0, 0, 1))",
            "self.values.clone()",
        ),
    ),
]
