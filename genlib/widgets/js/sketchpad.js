(figure, data, kit) => {
  const { side, parts } = data;
  const BAR = 150;
  const canvas = figure.querySelector("canvas");
  const output = figure.querySelector("canvas[aria-hidden]");
  const bars = [...figure.querySelectorAll("rect")];
  const run = kit.network(data.layers, [1, side, side]);
  const fine = side * parts;
  const place = (i) => Math.floor(Math.floor(i / fine) / parts) * side + Math.floor((i % fine) / parts);
  const ink = Float64Array.from({ length: fine * fine }, (_, i) => data.start[place(i)]);
  const cursor = [Math.floor(side / 2), Math.floor(side / 2)]; // column, row
  let keys = false; // whether the cursor is to be seen

  const drawing = () => {
    const x = new Float64Array(side * side);
    ink.forEach((value, i) => (x[place(i)] += value / (parts * parts)));
    return x;
  };

  const show = () => {
    const x = drawing();
    const y = run(x);
    kit.image(canvas, x, [1, side, side], 0, 1);
    if (keys) {
      const pen = canvas.getContext("2d");
      pen.fillStyle = "#d55e00b0";
      pen.fillRect(...cursor, 1, 1);
    }
    let answer;
    if (output) {
      kit.image(output, y, data.layers.at(-1).shape, 0, 1);
      answer = `Mean value of the output: ${kit.number(y.reduce((a, b) => a + b) / y.length, 3)}.`;
    } else {
      bars.forEach((bar, i) => bar.setAttribute("width", BAR * y[i]));
      const order = [...y.keys()].sort((a, b) => y[b] - y[a]).slice(0, 3);
      answer = order.map((i) => `${data.labels[i]}: ${y[i].toFixed(3)}`).join(", ") + ".";
    }
    const at = keys ? ` Column ${cursor[0] + 1}, row ${cursor[1] + 1}.` : "";
    kit.say(figure, (x.some((value) => value > 0) ? "" : "Nothing drawn. ") + answer + at);
  };

  /* Ink where the pen goes from one place to another, in pixels: all parts whose middle is within
     half its width of the line. */
  const stroke = ([a, b], [c, d]) => {
    const [u, v] = [c - a, d - b];
    const squared = u * u + v * v;
    for (let i = 0; i < ink.length; i++) {
      const [x, y] = [((i % fine) + 0.5) / parts - a, (Math.floor(i / fine) + 0.5) / parts - b];
      const share = squared ? kit.clamp((x * u + y * v) / squared, 0, 1) : 0;
      if (Math.hypot(x - share * u, y - share * v) <= data.pen / 2) ink[i] = 1;
    }
  };

  let last = null; // where the pen is, while it is down
  const draw = (event) => {
    const box = canvas.getBoundingClientRect();
    const now = [
      (side * (event.clientX - box.left)) / box.width,
      (side * (event.clientY - box.top)) / box.height,
    ];
    stroke(last ?? now, now);
    last = now;
    keys = false;
    show();
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = null;
    draw(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && draw(event));

  const middle = () => cursor.map((at) => at + 0.5);
  kit.arrows(canvas, (right, down, event) => {
    const before = middle();
    [right, down].forEach((step, i) => (cursor[i] = kit.clamp(cursor[i] + step, 0, side - 1)));
    if (event.shiftKey) stroke(before, middle());
    keys = true;
    show();
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    stroke(middle(), middle());
    keys = true;
    show();
  });
  figure.querySelector("button").addEventListener("click", () => {
    ink.fill(0);
    show();
  });
  show();
};
