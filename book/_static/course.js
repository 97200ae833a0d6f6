/* What the page itself must do for paper. */

(() => {
  const PAPER = 640; // width of the text on an A4 page, in CSS pixels
  const root = document.documentElement;
  let theme = root.dataset.theme;

  /* A formula that is wider than the paper is printed smaller. */
  function fit(formula) {
    const drawn = formula.querySelector("mjx-container > mjx-math");
    const width = drawn ? drawn.getBoundingClientRect().width : 0;
    formula.style.fontSize = width > PAPER ? `${Math.floor((100 * PAPER) / width)}%` : "";
  }

  addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    root.dataset.theme = "light";
    document.querySelectorAll(".bd-article .math").forEach(fit);
  });

  addEventListener("afterprint", () => {
    root.dataset.theme = theme;
    document.querySelectorAll(".bd-article .math").forEach((formula) => (formula.style.fontSize = ""));
  });
})();
