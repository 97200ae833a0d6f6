(figure, data, kit) => {
  const [plot, score] = figure.querySelectorAll("svg[aria-hidden]");
  const { width, height, left, right, top, bottom } = data.frame;
  const [low, high] = data.range;
  const bandwidths = data.bandwidths;
  const part = (svg, name) => svg.querySelector(`[data-part=${name}]`);
  const digits = Math.max(2, 2 - Math.floor(Math.log10(high - low))); // that tell points apart
  let at = data.start; // the number of the bandwidth
  let best = at;
  let scores = [];

  const across = (x) => left + ((x - low) / (high - low)) * (width - left - right);
  const back = (place) => low + ((place - left) / (width - left - right)) * (high - low);
  const kernel = (u, h) => Math.exp(-0.5 * u * u) / (h * Math.sqrt(2 * Math.PI));
  const near = (x, h) => Array.from({ length: 25 }, (_, k) => x + ((k - 12) / 3) * h);
  const line = (places, y) =>
    "M" + places.map((x, i) => `${across(x).toFixed(2)} ${y[i].toFixed(2)}`).join("L");

  /* Where a curve is drawn: evenly, and three times in every bandwidth around each point. */
  function places(xs, h) {
    const even = Array.from({ length: 201 }, (_, k) => low + (k / 200) * (high - low));
    const around = xs.flatMap((x) => near(x, h)).filter((x) => low < x && x < high);
    return even.concat(around).sort((a, b) => a - b);
  }

  function mean(xs, h, x) {
    return xs.reduce((sum, each) => sum + kernel((x - each) / h, h), 0) / xs.length;
  }

  /* Mean of the log density of each point, estimated from the others. */
  function leaveOneOut(xs, h) {
    const total = xs.reduce((sum, x, n) => {
      const logs = xs.filter((_, m) => m !== n).map((other) => -0.5 * ((x - other) / h) ** 2);
      const most = Math.max(...logs);
      return sum + most + Math.log(logs.reduce((s, each) => s + Math.exp(each - most), 0) / logs.length);
    }, 0);
    return total / xs.length - Math.log(h * Math.sqrt(2 * Math.PI));
  }

  /* Three to six numbers from zero on: multiples of 1, 2 or 5 times a power of ten. */
  function ticks(ceiling) {
    const power = 10 ** Math.floor(Math.log10(ceiling / 3));
    const step = [5, 2, 1].find((n) => n * power <= ceiling / 3) * power;
    return Array.from({ length: Math.floor(ceiling / step) + 1 }, (_, k) => Number((k * step).toPrecision(6)));
  }

  const printed = (value) => (value > -1000 ? value : `-10${"³⁴⁵⁶⁷⁸⁹"[Math.round(Math.log10(-value)) - 3]}`);

  /* Label an axis on the left; `up` goes from a value to its place. */
  function label(svg, values, up) {
    const group = part(svg, "ticks");
    group.replaceChildren();
    for (const value of values) {
      const y = up(value);
      kit.svg(group, "path", { d: `M${left} ${y}h-5`, stroke: "currentColor" });
      kit.svg(group, "text", { x: left - 8, y: y + 5, "text-anchor": "end" }, kit.minus(printed(value)));
    }
  }

  function drawDensity(xs, h) {
    const x = places(xs, h);
    const y = x.map((each) => (xs.length ? mean(xs, h, each) : 0));
    const ceiling = 1.05 * Math.max(...y, data.ceiling) || 1;
    const up = (value) => bottom - (value / ceiling) * (bottom - top);
    part(plot, "mean").setAttribute("d", line(x, y.map(up)));
    part(plot, "mean").dataset.ceiling = ceiling;
    const each = xs.map((centre) => {
      const around = near(centre, h).filter((p) => low <= p && p <= high);
      return line(around, around.map((p) => up(kernel((p - centre) / h, h) / xs.length)));
    });
    part(plot, "kernels").setAttribute("d", each.join(""));
    if (data.truth) part(plot, "truth").setAttribute("d", line(data.truth[0], data.truth[1].map(up)));
    label(plot, ticks(ceiling), up);
  }

  function drawPoints(xs, chosen) {
    const group = part(plot, "points");
    group.replaceChildren();
    xs.forEach((x, k) => {
      const style = { cx: across(x), cy: bottom, r: k === chosen ? 8 : 4, fill: k === chosen ? "#d55e00" : "currentColor" };
      kit.svg(group, "circle", { ...style, "data-x": x, "fill-opacity": k === chosen ? 1 : 0.5 });
    });
  }

  /* On a logarithmic scale of how far a score lies below the best, so that the worst is on it. */
  function drawScore(xs) {
    scores = bandwidths.map((each) => leaveOneOut(xs, each));
    best = scores.indexOf(Math.max(...scores));
    const below = scores.map((value) => scores[best] - value);
    const powers = Math.max(0, Math.ceil(Math.log10(Math.max(...below))));
    const depth = (gap) => Math.log10(1 + 10 * gap);
    const up = (change) => top + (depth(-change) / depth(10 ** powers)) * (data.scoreBottom - top);
    const place = (i) => [data.across[i], up(-below[i])];
    part(score, "score").setAttribute("d", "M" + below.map((_, i) => place(i).join(" ")).join("L"));
    for (const [name, i] of [["best", best], ["here", at]]) {
      const [cx, cy] = place(i);
      part(score, name).setAttribute("cx", cx);
      part(score, name).setAttribute("cy", cy);
    }
    label(score, [0, ...Array.from({ length: powers + 1 }, (_, k) => -(10 ** k))], up);
  }

  const handled = kit.points(figure.querySelector("[role=application]"), plot, {
    points: data.points.map((x) => [x]),
    most: data.most,
    toPage: ([x]) => [across(x), bottom],
    toData: ([place]) => [kit.clamp(back(place), low, high)],
    step: [(high - low) / 400],
    changed: draw,
  });

  function draw(points, chosen) {
    const xs = points.map(([x]) => x);
    const h = bandwidths[at];
    drawDensity(xs, h);
    drawPoints(xs, chosen);
    let words = `h = ${h}, ${xs.length} points; leave-one-out needs two.`;
    score.style.visibility = xs.length > 1 ? "visible" : "hidden";
    if (xs.length > 1) {
      drawScore(xs);
      words =
        `h = ${h}, ${xs.length} points: leave-one-out ${kit.number(scores[at], 3)} nats a point; ` +
        `best ${kit.number(scores[best], 3)} at h = ${bandwidths[best]}.`;
    }
    if (chosen >= 0) words += ` Point ${chosen + 1} at ${kit.number(xs[chosen], digits)}.`;
    kit.say(figure, words);
  }

  const move = kit.controls(figure, ({ bandwidth }) => {
    at = bandwidth;
    handled.told();
  });
  function setBandwidth(number) {
    figure.querySelector("[data-control]").value = number;
    move();
  }
  kit.buttons(figure, {
    remove: handled.remove,
    best: () => setBandwidth(best),
    restart() {
      handled.set(data.points.map((x) => [x]));
      setBandwidth(data.start);
    },
  });
  move();
};
