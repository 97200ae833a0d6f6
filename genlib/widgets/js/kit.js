const kit = {
  /* The figure's sliders and menus; `moved` is called with their positions, by name, at every move. */
  controls(figure, moved) {
    const all = [...figure.querySelectorAll("[data-control]")];
    const move = () => {
      for (const control of all) {
        if (control.type !== "range") continue;
        const value = JSON.parse(control.dataset.values)[control.value];
        kit.show(control, value);
      }
      moved(Object.fromEntries(all.map((c) => [c.dataset.control, Number(c.value)])));
    };
    all.forEach((control) => control.addEventListener("input", move));
    return move;
  },

  /* Print a slider's value beside it. */
  show(slider, value) {
    const words = kit.minus(value);
    slider.setAttribute("aria-valuetext", words);
    slider.parentElement.querySelector("output").textContent = words;
  },

  /* The number of a position among all, as Python counts them. */
  index(positions, sizes) {
    return Object.values(positions).reduce((sum, at, i) => sum * sizes[i] + at, 0);
  },

  /* What is said of the present position, to those who see and to those who listen. */
  say(figure, text) {
    figure.querySelector("[role=status]").textContent = kit.minus(text);
  },

  /* Words in which every negative number has a minus sign, not a hyphen. */
  minus: (text) => String(text).replace(/(?<![\p{L}\d])-(?=\d)/gu, "−"),

  /* A number with so many digits; what is rounded to zero has no sign. */
  number(value, digits) {
    const text = value.toFixed(digits);
    return kit.minus(Number(text) ? text : text.replace("-", ""));
  },

  /* Call `move(right, down, event)` with the step of an arrow key that is pressed on `element`. */
  arrows(element, move) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    element.addEventListener("keydown", (event) => {
      if (!steps[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      move(...steps[event.key], event);
    });
  },

  /* Where the pointer is, in the coordinates of the drawing's view box. */
  place(svg, event) {
    const box = svg.getBoundingClientRect();
    const view = svg.viewBox.baseVal;
    return [
      view.x + ((event.clientX - box.left) / box.width) * view.width,
      view.y + ((event.clientY - box.top) / box.height) * view.height,
    ];
  },

  /* Call `seen(x, y)` wherever the pointer is or a finger taps. */
  pointing(svg, seen) {
    for (const name of ["pointerdown", "pointermove"]) {
      svg.addEventListener(name, (event) => seen(...kit.place(svg, event)));
    }
  },

  /* Call the action that a button names when it is pressed. */
  buttons(figure, actions) {
    figure.querySelectorAll("[data-action]").forEach((button) => {
      button.addEventListener("click", () => actions[button.dataset.action](button));
    });
  },

  clamp: (value, low, high) => Math.min(Math.max(value, low), high),
};

/* Append an SVG element with attributes and, perhaps, words to ``parent``; returns it. */
kit.svg = (parent, tag, attributes, words = "") => {
  const element = document.createElementNS(parent.namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = words;
  return parent.appendChild(element);
};
