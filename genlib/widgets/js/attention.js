(figure, data, kit) => {
  const area = figure.querySelector("[role=application]");
  const svg = area.querySelector("svg");
  const cells = [...svg.querySelectorAll("rect[fill^='#']")];
  const ring = svg.querySelector("[data-part=row]");
  const words = [...area.querySelectorAll(".genlib-text span")];
  const top = data.colours.length - 1;
  let layer = 0;
  let row = data.row;

  const named = (k) => `“${data.symbols[k]}” (${k + 1 - data.shift})`;

  function draw() {
    const weights = data.weights[layer];
    let k = 0;
    for (const each of weights) {
      for (const weight of each) cells[k++].setAttribute("fill", data.colours[Math.round(weight * top)]);
    }
    ring.setAttribute("x", -0.02);
    ring.setAttribute("y", row - 0.02);
    ring.setAttribute("width", row + 1);
    words.forEach((word, j) => {
      const weight = weights[row][j] ?? 0;
      word.style.backgroundColor = `rgb(43 140 206 / ${Math.round(60 * weight)}%)`;
      word.classList.toggle("genlib-chosen", j === row + data.shift);
    });
    const order = [...weights[row].keys()].sort((a, b) => weights[row][b] - weights[row][a]);
    const most = order.slice(0, 3).filter((j) => weights[row][j] >= 0.005);
    const told = most.map((j) => `${named(j)} ${kit.number(weights[row][j], 2)}`).join(", ");
    const verb = data.shift ? "To predict" : "At";
    kit.say(figure, `${verb} ${named(row + data.shift)}, most weight is on ${told}.`);
  }

  function select(next) {
    const clamped = kit.clamp(next, 0, data.size - 1);
    if (clamped === row) return;
    row = clamped;
    draw();
  }

  kit.pointing(svg, (x, y) => select(Math.floor(y)));
  words.forEach((word, j) => {
    for (const name of ["pointerenter", "pointerdown"]) {
      if (j >= data.shift) word.addEventListener(name, () => select(j - data.shift));
    }
  });
  kit.arrows(area, (right, down) => select(row + right + down));
  kit.controls(figure, ({ layer: chosen = 0 }) => {
    layer = chosen;
    draw();
  })();
};
