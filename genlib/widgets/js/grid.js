(figure, data, kit) => {
  const [rows, columns] = data.shape;
  const area = figure.querySelector("[role=application]");
  const drawings = [...area.querySelectorAll("svg")];
  const top = data.letters.length - 2; // the highest level; the first letter is a blank
  const codeOf = Object.fromEntries([...data.letters].map((letter, code) => [letter, code]));
  const [base, per] = data.packing;
  const picks = data.panels.map((panel) => !panel.linked); // panels in which a cell is selected
  if (!picks.includes(true)) picks.fill(true);
  const rings = drawings.map((svg, i) => {
    if (!picks[i] && !sameCells(i)) return null;
    const style = { width: 1, height: 1, fill: "none", stroke: "#d55e00", "stroke-width": 0.16 };
    return kit.svg(svg, "rect", style);
  });
  let position = 0;
  let cell = data.cell;

  function cellsOf(i) {
    return drawings[i].querySelectorAll("rect[fill^='#']");
  }

  function sameCells(i) {
    return data.panels[i].columns === columns && cellsOf(i).length === rows * columns;
  }

  /* The level of every cell that a panel shows now; undefined where there is nothing. */
  function levels(panel, count) {
    if (panel.linked) {
      const [map] = data.maps[panel.linked[position][cell]];
      const code = (k) => codeOf[map[Math.floor(k / per)]] ?? 0;
      const digit = (k) => Math.floor(code(k) / base ** (k % per)) % base;
      return Array.from({ length: count }, (_, k) => (digit(k) ? digit(k) - 1 : undefined));
    }
    const [low, high] = panel.limits;
    const level = (value) => Math.round(kit.clamp((value - low) / (high - low), 0, 1) * top);
    return panel.values[position].map(level);
  }

  const place = (k, width) => `row ${Math.floor(k / width) + 1}, column ${(k % width) + 1}`;

  /* What a linked panel shows, in words: how many cells of each category, or the two largest. */
  function described(panel, found) {
    if (data.categories.length) {
      const count = (c) => found.filter((level) => level === c).length;
      return data.categories.map((words, c) => `${count(c)} ${words}`).join(", ");
    }
    const [, ...largest] = data.maps[panel.linked[position][cell]];
    if (!largest.length) return "nothing";
    const words = (i) => `${place(largest[i], panel.columns)} (${largest[i + 1]})`;
    return "most at " + [0, 2].filter((i) => i < largest.length).map(words).join(", then ");
  }

  /* Write 1 and 2 on the largest two cells of a linked panel. */
  function mark(ranks, panel) {
    const [, ...largest] = data.maps[panel.linked[position][cell]];
    ranks.forEach((rank, i) => {
      const k = largest[2 * i];
      rank.textContent = k === undefined ? "" : i + 1;
      rank.setAttribute("x", (k ?? 0) % panel.columns + 0.47);
      rank.setAttribute("y", Math.floor((k ?? 0) / panel.columns) + 0.8);
    });
  }

  function draw() {
    const said = data.panels.map((panel, i) => {
      const cells = cellsOf(i);
      const symbols = drawings[i].querySelectorAll("text");
      if (panel.linked && !data.categories.length) mark(symbols, panel);
      const found = levels(panel, cells.length);
      found.forEach((level, k) => {
        cells[k].setAttribute("fill", level === undefined ? data.empty : data.colours[level]);
        if (data.categories.length) symbols[k].textContent = data.symbols[level] ?? "";
      });
      if (rings[i]) {
        rings[i].setAttribute("x", (cell % columns) - 0.03);
        rings[i].setAttribute("y", Math.floor(cell / columns) - 0.03);
      }
      const words = panel.linked
        ? described(panel, found)
        : data.categories[panel.values[position][cell]] ?? panel.values[position][cell];
      return data.panels.length > 1 ? `${panel.name}: ${words}` : words;
    });
    kit.say(figure, `${place(cell, columns)}. ${said.join("; ")}`);
  }

  function select(row, column) {
    const next = kit.clamp(row, 0, rows - 1) * columns + kit.clamp(column, 0, columns - 1);
    if (next === cell) return;
    cell = next;
    draw();
  }

  drawings.forEach((svg, i) => {
    if (picks[i]) kit.pointing(svg, (x, y) => select(Math.floor(y), Math.floor(x)));
  });
  kit.arrows(area, (right, down) => select(Math.floor(cell / columns) + down, (cell % columns) + right));
  kit.controls(figure, (positions) => {
    position = kit.index(positions, data.sizes);
    draw();
  })();
};
