
/* A network in the page: a function of one input, its numbers in order, that returns the output's.
   `layers` and `shape`, the input's, are what genlib.widgets.network writes. */
kit.network = (layers, shape) => {
  const numbers = (text) =>
    new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));

  /* Abramowitz and Stegun (1964), 7.1.26: wrong by 1.5e-7 at most. */
  const erf = (x) => {
    const t = 1 / (1 + 0.3275911 * Math.abs(x));
    const terms = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
    const y = 1 - terms.reduce((sum, term) => (sum + term) * t, 0) * Math.exp(-x * x);
    return x < 0 ? -y : y;
  };
  const POINTWISE = {
    relu: (x) => Math.max(0, x),
    leakyrelu: (x, { slope }) => (x < 0 ? slope * x : x),
    elu: (x, { alpha }) => (x > 0 ? x : alpha * Math.expm1(x)),
    softplus: (x, { beta, threshold }) => (beta * x > threshold ? x : Math.log1p(Math.exp(beta * x)) / beta),
    sigmoid,
    tanh: Math.tanh,
    silu: (x) => x * sigmoid(x),
    gelu: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)),
    gelutanh: (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  };

  /* A convolution and its transpose join the same pairs of places: (y, x) of the smaller map with
     (y · stride − padding + a, x · stride − padding + b) of the larger, for each (a, b) of the
     kernel. The one sums into the smaller, the other into the larger. */
  const slide = (x, from, layer, transposed) => {
    const { shape: to, kernel, stride, padding, weight, bias } = layer;
    const [small, large] = transposed ? [from, to] : [to, from];
    const out = new Float64Array(to[0] * to[1] * to[2]);
    for (let i = 0; i < out.length; i++) out[i] = bias[Math.floor(i / (to[1] * to[2]))];
    const ceil = (a, b) => Math.max(0, Math.ceil(a / b));
    let k = 0;
    for (let s = 0; s < small[0]; s++)
      for (let l = 0; l < large[0]; l++)
        for (let a = 0; a < kernel[0]; a++)
          for (let b = 0; b < kernel[1]; b++) {
            const w = weight[k++];
            const [up, left] = [a - padding[0], b - padding[1]];
            // The rows and columns of the smaller map whose partner lies within the larger.
            const rows = Math.min(small[1], ceil(large[1] - up, stride[0]));
            const columns = Math.min(small[2], ceil(large[2] - left, stride[1]));
            const first = ceil(-left, stride[1]);
            for (let y = ceil(-up, stride[0]); y < rows; y++) {
              const here = (s * small[1] + y) * small[2];
              const there = (l * large[1] + y * stride[0] + up) * large[2] + left;
              if (transposed) {
                for (let z = first; z < columns; z++) out[there + z * stride[1]] += w * x[here + z];
              } else {
                for (let z = first; z < columns; z++) out[here + z] += w * x[there + z * stride[1]];
              }
            }
          }
    return out;
  };

  const LAYERS = {
    same: (x) => x,
    linear: (x, _, { weight, bias }) =>
      Float64Array.from(bias, (b, o) => x.reduce((sum, value, i) => sum + value * weight[o * x.length + i], b)),
    convolution: (x, from, layer) => slide(x, from, layer, false),
    transposed: (x, from, layer) => slide(x, from, layer, true),
    normalised: (x, from, { mean, scale, bias }) =>
      x.map((value, i) => {
        const channel = Math.floor((i * from[0]) / x.length);
        return (value - mean[channel]) * scale[channel] + bias[channel];
      }),
    upsample: (x, [, h, w], { shape: [channels, rows, columns] }) =>
      Float64Array.from({ length: channels * rows * columns }, (_, i) => {
        const row = Math.floor((Math.floor(i / columns) % rows) / (rows / h));
        const column = Math.floor((i % columns) / (columns / w));
        return x[(Math.floor(i / (rows * columns)) * h + row) * w + column];
      }),
    softmax: (x) => {
      const most = x.reduce((a, b) => Math.max(a, b));
      const powers = x.map((value) => Math.exp(value - most));
      const sum = powers.reduce((a, b) => a + b);
      return powers.map((power) => power / sum);
    },
  };
  for (const [kind, f] of Object.entries(POINTWISE)) {
    LAYERS[kind] = (x, _, layer) => x.map((value) => f(value, layer));
  }

  const decoded = layers.map((layer) => {
    const texts = ["weight", "bias", "mean", "scale"].filter((name) => name in layer);
    return { ...layer, ...Object.fromEntries(texts.map((name) => [name, numbers(layer[name])])) };
  });
  return (input) => {
    let [x, from] = [Float64Array.from(input), shape];
    for (const layer of decoded) {
      x = LAYERS[layer.kind](x, from, layer);
      from = layer.shape;
    }
    return x;
  };
};

/* Draw channels, rows and columns of numbers between `low` (black) and `high` (white) on a canvas;
   three channels are red, green and blue. Numbers outside are drawn at the ends. */
kit.image = (canvas, x, [channels, rows, columns], low, high) => {
  [canvas.width, canvas.height] = [columns, rows];
  const pen = canvas.getContext("2d");
  const picture = pen.createImageData(columns, rows);
  const size = rows * columns;
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) {
      const share = (x[channels === 3 ? c * size + i : i] - low) / (high - low);
      picture.data[4 * i + c] = 255 * share;
    }
    picture.data[4 * i + 3] = 255;
  }
  pen.putImageData(picture, 0, 0);
};
