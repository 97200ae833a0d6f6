const kit = {
  /* The figure's sliders and menus; `moved` is called with their positions, by name, at every move. */
  controls(figure, moved) {
    const all = [...figure.querySelectorAll("[data-control]")];
    const move = () => {
      for (const control of all) {
        if (control.type !== "range") continue;
        const value = JSON.parse(control.dataset.values)[control.value];
        control.setAttribute("aria-valuetext", value);
        control.parentElement.querySelector("output").textContent = value;
      }
      moved(Object.fromEntries(all.map((c) => [c.dataset.control, Number(c.value)])));
    };
    all.forEach((control) => control.addEventListener("input", move));
    return move;
  },

  /* What is said of the present position, to those who see and to those who listen. */
  say(figure, text) {
    figure.querySelector("[role=status]").textContent = text;
  },
};

/* Append an SVG element with attributes and, perhaps, words to ``parent``; returns it. */
kit.svg = (parent, tag, attributes, words = "") => {
  const element = document.createElementNS(parent.namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = words;
  return parent.appendChild(element);
};
