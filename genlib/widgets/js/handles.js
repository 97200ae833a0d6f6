/* Points in a drawing, to add, drag and remove by pointer and keys. Each is a list of coordinates.

   `toPage(point, k)` and `toData(place, k)` go from the k-th point to the view box of `svg` and back,
   and keep it inside; `step` is what an arrow key moves, per coordinate; `changed(points, chosen)`
   draws, and says where they are. With `fixed`, points are only moved. */
kit.points = (area, svg, { points, toPage, toData, step, changed, most = 0, fixed = false }) => {
  const twice = 400; // milliseconds within which a second tap removes
  let chosen = points.length ? 0 : -1;
  let held = false;
  let grabbed = false; // the click that follows was a drag
  let tapped = { k: -1, time: 0 }; // the point that was last pressed, and when
  let added = { x: 0, y: 0, time: -twice }; // where the last point was added, and when

  const told = () => changed(points, chosen);

  /* How far from a point it is still held, in units of the view box: a finger is thicker. */
  function near(event) {
    const pixels = event.pointerType === "mouse" ? 15 : 22;
    return (pixels * svg.viewBox.baseVal.width) / svg.getBoundingClientRect().width;
  }

  function nearest(event, touch = event) {
    const [x, y] = kit.place(svg, touch);
    const away = points.map((point, k) => {
      const [a, b] = toPage(point, k);
      return Math.hypot(a - x, b - y);
    });
    const least = away.indexOf(Math.min(...away));
    return away[least] < near(event) ? least : -1;
  }

  function add(point) {
    if (fixed || points.length >= most) return;
    chosen = points.push(point) - 1;
    told();
  }

  function remove() {
    if (fixed || chosen < 0) return;
    points.splice(chosen, 1);
    chosen = Math.min(chosen, points.length - 1);
    told();
  }

  function moveBy(steps) {
    if (chosen < 0) return;
    const to = points[chosen].map((at, i) => at + steps[i] * step[i]);
    points[chosen] = toData(toPage(to, chosen), chosen);
    told();
  }

  function beside() {
    return step.map((size, i) => (points[chosen]?.[i] ?? 0) + 5 * size);
  }

  function choose(next) {
    if (points.length) chosen = (next + points.length) % points.length;
    told();
  }

  svg.addEventListener("pointerdown", (event) => {
    const k = nearest(event);
    held = grabbed = k >= 0;
    if (!held) return;
    const again = k === tapped.k && event.timeStamp - tapped.time < twice;
    tapped = { k: again ? -1 : k, time: event.timeStamp };
    chosen = k;
    if (again && !fixed) {
      held = false;
      remove();
      return;
    }
    svg.setPointerCapture(event.pointerId);
    told();
  });
  /* A finger that holds a point must not scroll the page. */
  const holding = (event) => nearest(event, event.touches[0]) >= 0 && event.preventDefault();
  svg.addEventListener("touchstart", holding, { passive: false });
  svg.addEventListener("pointermove", (event) => {
    if (!held) return;
    tapped.k = -1;
    points[chosen] = toData(kit.place(svg, event), chosen);
    told();
  });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => (held = false));
  svg.addEventListener("click", (event) => {
    const [x, y] = kit.place(svg, event);
    const again = event.timeStamp - added.time < twice && Math.hypot(x - added.x, y - added.y) < near(event);
    if (!grabbed && !again) {
      added = { x, y, time: event.timeStamp };
      add(toData([x, y]));
    }
    grabbed = false;
  });
  /* What is selected on the page must not be dragged away in place of a point. */
  svg.addEventListener("dragstart", (event) => event.preventDefault());
  const onLine = step.length === 1;
  kit.arrows(area, (right, down) => {
    if (onLine && down) choose(chosen + down);
    else moveBy([right, -down]);
  });
  area.addEventListener("keydown", (event) => {
    const keys = {
      PageUp: () => choose(chosen - 1),
      PageDown: () => choose(chosen + 1),
      Delete: remove,
      Backspace: remove,
      Enter: () => add(toData(toPage(beside()))),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  function set(others) {
    points.splice(0, points.length, ...others);
    chosen = kit.clamp(chosen, 0, points.length - 1);
    told();
  }

  return { remove, told, set };
};
