(figure, data, kit) => {
  const [plot, score] = figure.querySelectorAll("svg[aria-hidden]");
  const { width, height, left, right, top, bottom } = data.frame;
  const [low, high] = data.range;
  const bandwidths = data.bandwidths;
  const part = (svg, name) => svg.querySelector(`[data-part=${name}]`);
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

  /* The largest of 1, 2, 5 times a power of ten that is at most `value`. */
  function tick(value) {
    const power = 10 ** Math.floor(Math.log10(value));
    return [5, 2, 1].find((n) => n * power <= value * (1 + 1e-9)) * power;
  }

  function drawDensity(xs, h) {
    const x = places(xs, h);
    const y = x.map((each) => (xs.length ? mean(xs, h, each) : 0));
    const ceiling = 1.05 * Math.max(...y, data.ceiling) || 1;
    const up = (value) => bottom - (value / ceiling) * (bottom - top);
    part(plot, "mean").setAttribute("d", line(x, y.map(up)));
    part(plot, "mean").dataset.ceiling = ceiling;
    const each = xs.map((centre) => {
      const around = near(centre, h);
      return line(around, around.map((p) => up(kernel((p - centre) / h, h) / xs.length)));
    });
    part(plot, "kernels").setAttribute("d", each.join(""));
    if (data.truth) part(plot, "truth").setAttribute("d", line(data.truth[0], data.truth[1].map(up)));
    const label = part(plot, "tick");
    label.setAttribute("y", up(tick(ceiling)) + 5);
    label.textContent = `${Number(tick(ceiling).toPrecision(2))} –`;
  }

  function drawPoints(xs, chosen) {
    const group = part(plot, "points");
    group.replaceChildren();
    xs.forEach((x, k) => {
      const style = { cx: across(x), cy: bottom, r: k === chosen ? 8 : 5, fill: k === chosen ? "#d55e00" : "currentColor" };
      kit.svg(group, "circle", { ...style, "data-x": x, "fill-opacity": 0.8 });
    });
  }

  function drawScore(xs) {
    scores = bandwidths.map((each) => leaveOneOut(xs, each));
    const highest = Math.max(...scores.filter(Number.isFinite));
    best = scores.indexOf(highest);
    const over = (i) => left + (i / (bandwidths.length - 1)) * (width - left - right);
    const up = (value) => top + kit.clamp((highest - value) / data.depth, 0, 99) * (data.scoreBottom - top);
    const d = scores.map((value, i) => `${over(i).toFixed(2)} ${up(value).toFixed(2)}`);
    part(score, "score").setAttribute("d", "M" + d.join("L"));
    part(score, "best").setAttribute("cx", over(best));
    part(score, "best").setAttribute("cy", up(highest));
    part(score, "here").setAttribute("d", `M${over(at)} ${top}V${data.scoreBottom}`);
    part(score, "top").textContent = highest.toFixed(2);
    part(score, "low").textContent = (highest - data.depth).toFixed(2);
  }

  const handled = kit.points(figure.querySelector("[role=application]"), plot, {
    points: data.points.map((x) => [x]),
    most: data.most,
    toPage: ([x]) => [across(x), bottom],
    toData: ([place]) => [kit.clamp(back(place), ...data.inside)],
    step: [(data.inside[1] - data.inside[0]) / 200],
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
        `h = ${h}, ${xs.length} points: leave-one-out ${scores[at].toFixed(3)} nats a point; ` +
        `best ${scores[best].toFixed(3)} at h = ${bandwidths[best]}.`;
    }
    if (chosen >= 0) words += ` Point ${chosen + 1} at ${xs[chosen].toFixed(2)}.`;
    kit.say(figure, words);
  }

  const move = kit.controls(figure, ({ bandwidth }) => {
    at = bandwidth;
    handled.told();
  });
  kit.buttons(figure, {
    remove: handled.remove,
    best() {
      figure.querySelector("[data-control]").value = best;
      move();
    },
    restart: () => handled.set(data.points.map((x) => [x])),
  });
  move();
};
