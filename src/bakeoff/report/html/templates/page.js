"use strict";
(function () {
  const drawings = JSON.parse(document.getElementById("drawings").textContent);
  const places = Array.from(document.querySelectorAll(".drawing"));
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 640px)");
  const canHover = window.matchMedia("(hover: hover)").matches;
  const options = {
    responsive: true, displaylogo: false, displayModeBar: canHover ? "hover" : false,
    modeBarButtons: [["toImage", "resetScale2d"]],
  };

  const paperWidth = 680; // what A4 and letter hold between their margins, in CSS pixels

  function draw(place, mode, width) {
    const figure = drawings.figures[Number(place.dataset.figure)];
    const layout = structuredClone(figure.layout);
    layout.template = structuredClone(drawings.templates[mode]);
    layout.template.layout.font.size = narrow.matches ? 11 : 13;
    // A finger that scrolls the page should not drag an axis.
    layout.dragmode = narrow.matches ? false : layout.dragmode;
    if (width) layout.width = width; // a printed page sends no resize event
    return Plotly.react(place, structuredClone(figure.data), layout, options);
  }

  let isPaper = false;

  function redraw() {
    const mode = dark.matches && !isPaper ? "dark" : "light";
    const shown = places.filter((place) => place.offsetParent !== null);
    return Promise.all(shown.map((place) => draw(place, mode, isPaper ? paperWidth : null)));
  }

  places.forEach((place) => { place.textContent = ""; });
  redraw().then(() => { document.documentElement.dataset.drawn = "yes"; });
  dark.addEventListener("change", redraw);
  narrow.addEventListener("change", redraw);
  document.querySelectorAll("details").forEach((details) => details.addEventListener("toggle", redraw));

  // Paper is white and cannot be unfolded.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = Array.from(document.querySelectorAll("details:not([open])"));
    folded.forEach((details) => { details.open = true; });
    isPaper = true;
    redraw();
  });
  window.addEventListener("afterprint", () => {
    folded.forEach((details) => { details.open = false; });
    isPaper = false;
    redraw();
  });
})();
