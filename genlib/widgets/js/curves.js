(figure, data, kit) => {
  const paths = {};
  figure.querySelectorAll("path[data-curve]").forEach((p) => (paths[p.dataset.curve] = p));
  kit.controls(figure, (positions) => {
    const index = kit.index(positions, data.sizes);
    data.curves.forEach((name, i) => {
      const y = data.y[index][i];
      paths[name].setAttribute("d", "M" + data.x.map((x, k) => x + " " + y[k]).join("L"));
    });
    kit.say(figure, data.captions[index]);
  });
};
