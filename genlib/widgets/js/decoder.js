(figure, data, kit) => {
  const SIDE = 200;
  const canvas = figure.querySelector("canvas");
  const plane = figure.querySelector("svg");
  const sliders = [...figure.querySelectorAll("input[type=range]")];
  const run = kit.network(data.layers, [sliders.length]);
  const last = data.positions.length - 1;

  const moved = kit.controls(figure, (positions) => {
    const at = Object.values(positions);
    const z = at.map((step) => data.positions[step]);
    const x = run(z);
    kit.image(canvas, x, data.layers.at(-1).shape, ...data.values);
    if (plane) {
      const point = plane.querySelector("circle");
      point.setAttribute("cx", (SIDE * at[0]) / last);
      point.setAttribute("cy", SIDE - (SIDE * at[1]) / last);
    }
    const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
    kit.say(figure, `Code (${z.map((value) => kit.number(value, 2)).join(", ")}): mean value ${kit.number(mean, 3)}.`);
  });

  const drag = (event) => {
    const [x, y] = kit.place(plane, event);
    [x, SIDE - y].forEach((place, i) => {
      sliders[i].value = kit.clamp(Math.round((last * place) / SIDE), 0, last);
    });
    moved();
  };
  plane?.addEventListener("pointerdown", (event) => {
    plane.setPointerCapture(event.pointerId);
    drag(event);
  });
  plane?.addEventListener("pointermove", (event) => event.buttons && drag(event));
  moved();
};
