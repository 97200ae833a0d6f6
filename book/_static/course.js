/* Pictures open above the page; names for what the theme leaves nameless; and what the page must do for paper. */

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.enlarge");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const dialog = document.createElement("dialog");
  dialog.className = "enlarged";
  dialog.ariaLabel = link.ariaLabel;
  const picture = link.querySelector("img").cloneNode();
  const [width, height] = ["width", "height"].map((side) => picture.getAttribute(side));
  picture.style.setProperty("--natural", `${width}px`);
  picture.style.setProperty("--ratio", width / height);
  picture.tabIndex = 0;
  dialog.append(picture);
  dialog.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
});

/* The theme's side bar is no landmark, its arrows have no name, and its search button has one that differs from its text. */
document.getElementById("pst-primary-sidebar")?.setAttribute("role", "complementary");
document.getElementById("pst-primary-sidebar")?.setAttribute("aria-label", "Side bar");
document.querySelectorAll(".search-button-field").forEach((button) => button.removeAttribute("aria-label"));
document.querySelectorAll("details.hide > summary").forEach((line) => {
  line.removeAttribute("aria-label");
  // On paper, where nobody can open it, a line that only names code is left out.
  line.classList.toggle("names-code", /^(Set-up|Code of)/.test(line.textContent.trim()));
});
document.querySelectorAll(".bd-links summary").forEach((arrow) => {
  const title = arrow.closest("li").querySelector("a").textContent.trim();
  arrow.setAttribute("aria-label", `Pages of ${title}`);
});
document.querySelectorAll("a.headerlink").forEach((link) => (link.tabIndex = -1)); /* the contents lead to all of them */

/* A lesson has a button to copy each cell, more than anybody wants to pass on the way to a figure. */
addEventListener("load", () => document.querySelectorAll(".copybtn").forEach((button) => (button.tabIndex = -1)));

/* What scrolls can be scrolled by keys, and says at which edge there is more: looked at anew whenever its size changes, as
   when a formula is typeset, and as it is scrolled. */
(() => {
  const OVERHANG = 4; // pixels by which a letter may lean out of its box
  const hidden = (part) => part.scrollWidth - part.clientWidth;

  function mark(part) {
    part.classList.toggle("more-left", part.scrollLeft > 1);
    part.classList.toggle("more-right", part.scrollLeft < hidden(part) - OVERHANG);
  }

  const watch = new ResizeObserver((changes) =>
    changes.forEach(({ target }) => {
      if (hidden(target) > OVERHANG) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
      mark(target);
    })
  );
  document
    .querySelectorAll(".bd-article :is(.math, pre, .output, .genlib-answers, .pst-scrollable-table-container)")
    .forEach((part) => {
      watch.observe(part);
      part.addEventListener("scroll", () => mark(part), { passive: true });
    });
})();

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
