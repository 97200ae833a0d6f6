(figure, data, kit) => {
  const BAR = 60;
  const nodes = [...figure.querySelectorAll("g[role=button]")];
  const sizes = data.states.map((names) => names.length);
  const observed = [...data.start];

  /* Every joint state, and its probability: the product of its entries in all tables. */
  let events = [[]];
  for (const size of sizes) {
    events = events.flatMap((event) => Array.from({ length: size }, (_, s) => [...event, s]));
  }
  const entry = (event, i) =>
    data.tables[i][data.families[i].reduce((place, j) => place * sizes[j] + event[j], 0)];
  const joint = events.map((event) => sizes.reduce((p, _, i) => p * entry(event, i), 1));

  /* The distribution of each variable given what is observed, or null where that cannot happen. */
  const posteriors = () => {
    const sums = sizes.map((size) => new Array(size).fill(0));
    let total = 0;
    events.forEach((event, k) => {
      if (observed.some((state, i) => state >= 0 && state !== event[i])) return;
      total += joint[k];
      event.forEach((state, i) => (sums[i][state] += joint[k]));
    });
    return total > 0 ? sums.map((row) => row.map((sum) => sum / total)) : null;
  };

  const words = (i, p) => data.states[i].map((name, s) => `${name} ${p[i][s].toFixed(3)}`).join(", ");

  const sentence = (p) => {
    const known = observed.flatMap((s, i) => (s < 0 ? [] : [`${data.names[i]} = ${data.states[i][s]}`]));
    if (!p) return `${known.join(", ")}: these cannot happen together, their probability is zero.`;
    const [name, state] = [data.names[data.query], observed[data.query]];
    if (state >= 0) return `${name} is observed: ${data.states[data.query][state]}.`;
    return `p(${name}${known.length ? " | " : ""}${known.join(", ")}): ${words(data.query, p)}`;
  };

  const show = () => {
    const p = posteriors();
    nodes.forEach((node, i) => {
      const state = observed[i];
      node.setAttribute("aria-pressed", state >= 0);
      node.querySelectorAll("[text-anchor]").forEach((text, s) => {
        text.textContent = p ? p[i][s].toFixed(3) + " " : "– ";
      });
      node.querySelectorAll(".bar").forEach((bar, s) => {
        bar.setAttribute("width", p ? BAR * p[i][s] : 0);
        bar.setAttribute("fill", state >= 0 ? "#D55E00" : "#2B8CCE");
      });
    });
    kit.say(figure, sentence(p));
  };

  const observe = (i) => {
    observed[i] = observed[i] + 1 === sizes[i] ? -1 : observed[i] + 1;
    show();
  };
  const focus = (i) => {
    nodes.forEach((node, k) => node.setAttribute("tabindex", k === i ? 0 : -1));
    nodes[i].focus();
  };
  nodes.forEach((node, i) => {
    node.addEventListener("click", () => observe(i));
    node.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      observe(i);
    });
    kit.arrows(node, (right, down) => focus((i + right + down + nodes.length) % nodes.length));
  });
  figure.querySelector("button").addEventListener("click", () => {
    observed.fill(-1);
    show();
  });
  show();
};
