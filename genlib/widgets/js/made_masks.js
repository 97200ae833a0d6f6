(figure, data, kit) => {
  const area = figure.querySelector("[role=application]");
  const svg = area.querySelector("svg");
  const lines = [...svg.querySelectorAll(".genlib-edges path")];
  const drawn = [...svg.querySelectorAll(".genlib-unit")];
  const sizes = data.degrees.map((layer) => layer.length);
  const last = sizes.length - 1;
  const first = sizes.map((_, layer) => sizes.slice(0, layer).reduce((a, b) => a + b, 0));
  const number = ([layer, unit]) => first[layer] + unit;
  const edges = data.edges.map(([out, layer, into]) => [number(out), number([layer, into])]);
  const centres = drawn.map((unit) => {
    const circle = unit.querySelector("circle");
    return [Number(circle.getAttribute("cx")), Number(circle.getAttribute("cy"))];
  });
  let [layer, unit] = data.unit;

  /* How many paths lead from each unit to the selected one. */
  function paths() {
    const count = drawn.map(() => 0);
    count[number([layer, unit])] = 1;
    for (let below = layer - 1; below >= 0; below--) {
      for (const [out, into] of edges) {
        if (into >= first[below] && into < first[below] + sizes[below]) count[into] += count[out];
      }
    }
    return count;
  }

  const list = (places) => (places.length ? places.join(", ") : "none");

  function draw() {
    const count = paths();
    const self = number([layer, unit]);
    lines.forEach((line, k) => {
      const [out] = edges[k];
      line.classList.toggle("genlib-path", count[out] > 0);
    });
    drawn.forEach((each, k) => {
      const input = k < sizes[0] && layer > 0;
      each.setAttribute("class", "genlib-unit");
      if (k === self) each.classList.add("genlib-self");
      else if (count[k]) each.classList.add("genlib-seen");
      else if (input) each.classList.add("genlib-missed");
    });
    const kinds = ["input", ...Array(Math.max(last - 1, 0)).fill("hidden unit"), "output"];
    const degree = data.degrees[layer][unit];
    const where = layer > 0 && layer < last ? ` of layer ${layer}` : "";
    let words = `${kinds[layer]} ${unit + 1}${where}, degree ${degree}`;
    if (layer) {
      const inputs = data.degrees[0].map((_, k) => k);
      const total = inputs.reduce((sum, k) => sum + count[k], 0);
      const names = (keep) => list(inputs.filter(keep).map((k) => k + 1));
      words += `: sees inputs ${names((k) => count[k])}; not ${names((k) => !count[k])}; ${total} paths`;
    }
    kit.say(figure, `${words[0].toUpperCase()}${words.slice(1)}.`);
  }

  function select(nextLayer, nextUnit) {
    layer = kit.clamp(nextLayer, 0, last);
    unit = kit.clamp(nextUnit, 0, sizes[layer] - 1);
    draw();
  }

  kit.pointing(svg, (x, y) => {
    const away = centres.map(([a, b]) => Math.hypot(a - x, b - y));
    const k = away.indexOf(Math.min(...away));
    const found = first.findLastIndex((start) => start <= k);
    if (k !== number([layer, unit])) select(found, k - first[found]);
  });
  kit.arrows(area, (right, down) => {
    const next = kit.clamp(layer - down, 0, last);
    const moved = next === layer ? unit + right : Math.floor(((unit + 0.5) / sizes[layer]) * sizes[next]);
    select(next, moved);
  });
  draw();
};
