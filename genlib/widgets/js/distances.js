(figure, data, kit) => {
  const svg = figure.querySelector("svg[aria-hidden]");
  const { width, left, right, top, bottom } = data.frame;
  const [low, high] = data.range;
  const part = (name) => svg.querySelector(`[data-part=${name}]`);
  const values = [...figure.querySelectorAll("tbody td:nth-child(2)")];
  const names = [...figure.querySelectorAll("tbody th")].map((name) => name.textContent);
  const x = Array.from({ length: data.grid }, (_, i) => -16 + (32 * i) / (data.grid - 1));
  const step = x[1] - x[0];
  const kernel = x.map((_, i) => Math.exp(-0.5 * (i * step) ** 2)); // of MMD, by distance in steps
  const reach = kernel.findIndex((k) => k < 1e-12);
  let [, mean, deviation] = data.start;
  let separation;
  let logP = [];
  let chosen = 0; // the dot on the peak; 1 is the one on the side
  let descents = 0; // counts them, so that a newer one stops an older one

  const sum = (f) => x.reduce((total, _, i) => total + f(i), 0);
  const logNormal = (at, m, s) => -0.5 * ((at - m) / s) ** 2 - Math.log(s) - 0.5 * Math.log(2 * Math.PI);
  const logSum = (a, b) => Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));

  function logClusters(at, separation) {
    return logSum(
      Math.log(data.weight) + logNormal(at, -separation / 2, data.scale),
      Math.log(1 - data.weight) + logNormal(at, separation / 2, data.scale),
    );
  }

  const kl = (a, b) => step * sum((i) => Math.exp(a[i]) * (a[i] - b[i]));
  const gap = (q) => logP.map((each, i) => Math.exp(each) - Math.exp(q[i]));

  /* In the order of the table; each of the log density of the Gaussian on the grid. */
  const every = [
    (q) => kl(logP, q),
    (q) => kl(q, logP),
    (q) => (step / 2) * gap(q).reduce((total, each) => total + Math.abs(each), 0),
    (q) => {
      const middle = logP.map((each, i) => logSum(each, q[i]) - Math.LN2);
      return 0.5 * (kl(logP, middle) + kl(q, middle));
    },
    (q) => {
      const d = gap(q);
      let below = 0;
      return step * sum((i) => (i ? Math.abs((below += (step / 2) * (d[i] + d[i - 1]))) : 0));
    },
    (q) => {
      const d = gap(q);
      const smooth = (i) => {
        let total = 0;
        for (let j = Math.max(0, i - reach); j < Math.min(d.length, i + reach); j++) {
          total += kernel[Math.abs(i - j)] * d[j];
        }
        return total;
      };
      return step * step * sum((i) => d[i] * smooth(i));
    },
  ];
  const distances = data.shown.map((i) => every[i]);

  const gaussian = (m, s) => x.map((at) => logNormal(at, m, s));

  const across = (at) => left + ((at - low) / (high - low)) * (width - left - right);
  const back = (place) => low + ((place - left) / (width - left - right)) * (high - low);
  const shown = Array.from({ length: 321 }, (_, k) => low + (k / 320) * (high - low));
  let up; // from a density to its height in the drawing

  function draw() {
    const p = shown.map((at) => Math.exp(logClusters(at, separation)));
    const q = shown.map((at) => Math.exp(logNormal(at, mean, deviation)));
    const ceiling = 1.1 * Math.max(peak(), 0.7); // p is always lower: the data keep their height
    up = (value) => bottom - (value / ceiling) * (bottom - top);
    const line = (y) => shown.map((at, i) => `${across(at).toFixed(1)} ${up(y[i]).toFixed(1)}`).join("L");
    part("data").setAttribute("d", `M${left} ${bottom}L${line(p)}L${width - right} ${bottom}Z`);
    part("model").setAttribute("d", "M" + line(q));
    ["mean", "deviation"].forEach((name, k) => {
      const [cx, cy] = toPage([k ? deviation : mean], k);
      part(name).setAttribute("cx", cx);
      part(name).setAttribute("cy", cy);
      part(name).setAttribute("r", k === chosen ? 10 : 7);
      part(name).setAttribute("stroke-width", k === chosen ? 3 : 0);
    });
    const density = gaussian(mean, deviation);
    values.forEach((cell, i) => (cell.textContent = kit.number(distances[i](density), 3)));
  }

  const peak = () => Math.exp(logNormal(0, 0, deviation));
  const toPage = ([value], k) =>
    k ? [across(mean + value), up(peak() * Math.exp(-0.5))] : [across(value), up(peak())];
  const toData = ([place], k) =>
    k ? [kit.clamp(Math.abs(back(place) - mean), ...data.widths)] : [kit.clamp(back(place), ...data.centres)];

  const nearest = (list, value) => {
    const away = list.map((each) => Math.abs(each - value));
    return away.indexOf(Math.min(...away));
  };

  function showOn(name, list, value) {
    const slider = figure.querySelector(`[data-control=${name}]`);
    slider.value = nearest(list, value);
    kit.show(slider, kit.number(value, 2));
  }

  const where = () => `mean ${kit.number(mean, 3)}, standard deviation ${kit.number(deviation, 3)}`;

  const handles = kit.points(figure.querySelector("[role=application]"), svg, {
    points: [[mean], [deviation]],
    fixed: true,
    step: [0.05],
    toPage,
    toData,
    changed([[m], [s]], dot) {
      [mean, deviation, chosen] = [m, s, dot];
      showOn("mean", data.means, mean);
      showOn("deviation", data.deviations, deviation);
      draw();
      const place = ["on the peak", "on the side"][chosen];
      kit.say(figure, `Separation ${separation}; ${where()}. The dot ${place} is chosen.`);
    },
  });

  function descend(i) {
    const mine = ++descents;
    const quiet = matchMedia("(prefers-reduced-motion: reduce)").matches;
    let size = 0.05;
    let [m, s] = [mean, Math.log(deviation)];
    let least = distances[i](gaussian(m, Math.exp(s)));

    function lower() {
      const angles = Array.from({ length: 8 }, (_, k) => (k * Math.PI) / 4);
      const around = angles.map((t) => [m + size * Math.cos(t), s + size * Math.sin(t)]);
      const [narrow, wide] = data.widths.map(Math.log);
      const inside = around.filter(([a, b]) => Math.abs(a) <= 6 && narrow <= b && b <= wide);
      const found = inside.map(([a, b]) => distances[i](gaussian(a, Math.exp(b))));
      const best = found.indexOf(Math.min(...found));
      if (found[best] < least - 1e-12) {
        [m, s] = inside[best];
        least = found[best];
      } else size /= 2;
    }

    function advance() {
      if (mine !== descents) return;
      do lower();
      while (size > 1e-5 && (quiet || size < 0.02));
      handles.set([[m], [Math.exp(s)]]);
      if (size > 1e-5) requestAnimationFrame(advance);
      else kit.say(figure, `${names[i]} ends at ${kit.number(least, 3)}: ${where()}.`);
    }
    advance();
  }

  function restart() {
    const [, ...gaussian] = data.start;
    figure.querySelector("[data-control=separation]").value = data.separations.indexOf(data.start[0]);
    handles.set(gaussian.map((value) => [value]));
    move();
  }

  /* A slider has coarser steps than a hand: the others stay where they are. */
  const move = kit.controls(figure, (positions) => {
    descents++;
    separation = data.separations[positions.separation];
    logP = x.map((at) => logClusters(at, separation));
    const kept = (list, at, value) => [nearest(list, value) === at ? value : list[at]];
    handles.set([
      kept(data.means, positions.mean, mean),
      kept(data.deviations, positions.deviation, deviation),
    ]);
  });
  svg.addEventListener("pointerdown", () => descents++);
  kit.buttons(figure, { restart, ...names.map((_, i) => () => descend(i)) });
  move();
};
