(figure, data, kit) => {
  const svg = figure.querySelector("svg");
  const { width, left, right, top, bottom } = data.frame;
  const limit = data.limit;
  const part = (name) => svg.querySelector(`[data-part=${name}]`);
  const across = (width - left - right) / (2 * limit); // units of the drawing, per one of the data
  const down = (bottom - top) / (2 * limit);
  const toPage = ([x, y]) => [left + (x + limit) * across, top + (limit - y) * down];
  const toData = ([a, b]) => [
    kit.clamp((a - left) / across - limit, -limit, limit),
    kit.clamp(limit - (b - top) / down, -limit, limit),
  ];
  const show = (...values) => values.map((value) => kit.number(value, 2)).join(", ");
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  /* Mean and covariance (xx, xy, yy) of the points. */
  function fitted(points) {
    const [m, n] = [0, 1].map((i) => mean(points.map((point) => point[i])));
    const product = (i, j) => mean(points.map((point) => (point[i] - [m, n][i]) * (point[j] - [m, n][j])));
    return { m, n, xx: product(0, 0), xy: product(0, 1), yy: product(1, 1) };
  }

  /* The ellipse at so many deviations: the Cholesky factor of the covariance, times a circle. */
  function ellipse({ m, n, xx, xy, yy }, deviations) {
    const [a, b] = [Math.sqrt(xx), xy / Math.sqrt(xx)];
    const c = Math.sqrt(Math.max(yy - b * b, 0));
    const around = Array.from({ length: 73 }, (_, k) => {
      const [u, v] = [Math.cos((k * Math.PI) / 36), Math.sin((k * Math.PI) / 36)];
      return toPage([m + deviations * a * u, n + deviations * (b * u + c * v)]);
    });
    return "M" + around.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
  }

  function draw(points, chosen) {
    const circles = part("points");
    circles.replaceChildren();
    points.forEach((point, k) => {
      const [cx, cy] = toPage(point);
      const here = k === chosen;
      kit.svg(circles, "circle", { cx, cy, r: here ? 8 : 5, fill: here ? "#d55e00" : "currentColor" });
    });
    let words = points.length === 1 ? "1 point." : `${points.length} points.`;
    part("gaussian").replaceChildren();
    if (data.gaussian && points.length > 2) {
      const fit = fitted(points);
      const determinant = fit.xx * fit.yy - fit.xy ** 2;
      if (determinant > 1e-9) {
        for (const deviations of [1, 2]) kit.svg(part("gaussian"), "path", { d: ellipse(fit, deviations) });
        const nats = -Math.log(2 * Math.PI) - 0.5 * Math.log(determinant) - 1;
        words +=
          ` Mean (${show(fit.m, fit.n)}), variances ${show(fit.xx, fit.yy)}, covariance ${show(fit.xy)}; ` +
          `log-likelihood ${kit.number(nats, 3)} nats a point.`;
      }
    }
    if (chosen >= 0) words += ` Point ${chosen + 1} at (${show(...points[chosen])}).`;
    kit.say(figure, words);
  }

  const handles = kit.points(figure.querySelector("[role=application]"), svg, {
    points: data.points.map((point) => [...point]),
    most: data.most,
    step: [limit / 40, limit / 40],
    toPage,
    toData,
    changed: draw,
  });
  kit.buttons(figure, {
    remove: handles.remove,
    restart: () => handles.set(data.points.map((point) => [...point])),
  });
  handles.told();
};
