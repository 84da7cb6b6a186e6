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
  const whenIdle = window.requestIdleCallback || ((work) => window.setTimeout(work, 20));

  const paperWidth = 680; // A4 and letter between margins, in CSS pixels

  // On a narrow screen, long names are cut in the middle to leave room for the data.
  function shortenLine(label) {
    const characters = String(label).match(/<[^>]*>|&[^;]+;|./gsu) || []; // markup and entities stay whole
    return characters.length > 20 ? [...characters.slice(0, 9), "...", ...characters.slice(-8)].join("") : label;
  }

  const shorten = (label) => String(label).split("<br>").map(shortenLine).join("<br>");

  // Breaks the title of an axis into lines that fit a narrow screen.
  const fold = (title) => title.replace(/(.{1,36})(?: |$)/gu, (_, line, at) => (at ? "<br>" : "") + line);

  function draw(place, mode, width) {
    const figure = drawings.figures[Number(place.dataset.figure)];
    const layout = structuredClone(figure.layout);
    layout.template = structuredClone(drawings.templates[mode]);
    layout.template.layout.font.size = narrow.matches ? 11 : 13;
    // A finger that scrolls the page should not drag an axis.
    layout.dragmode = narrow.matches ? false : layout.dragmode;
    const axes = narrow.matches && !width ? Object.keys(layout).filter((key) => /^[xy]axis/.test(key)) : [];
    axes.filter((key) => layout[key].ticktext).forEach((key) => {
      layout[key].ticktext = layout[key].ticktext.map(shorten);
    });
    axes.filter((key) => key.startsWith("x") && layout[key].title?.text).forEach((key) => {
      layout[key].title.text = fold(layout[key].title.text);
    });
    if (width) layout.width = width; // a printed page sends no resize event
    stale.delete(place);
    return Plotly.react(place, structuredClone(figure.data), layout, options);
  }

  const stale = new Set();
  let isPaper = false;

  function drawStale(shown) {
    const mode = dark.matches && !isPaper ? "dark" : "light";
    shown.filter((place) => stale.has(place)).forEach((place) => draw(place, mode, isPaper ? paperWidth : null));
  }

  const isShown = (place) => place.closest("details:not([open])") === null;

  // Figures that come into view are drawn at once, the others one by one when the browser is idle, so that a page of a
  // hundred figures can be read immediately.
  const nearby = new IntersectionObserver(
    (entries) => drawStale(entries.filter((entry) => entry.isIntersecting).map((entry) => entry.target)),
    { rootMargin: "400px 0px" },
  );

  function drawRest() {
    const next = places.find((place) => stale.has(place) && isShown(place));
    document.documentElement.dataset.drawn = next ? "some" : "yes";
    if (!next) return;
    drawStale([next]);
    whenIdle(drawRest);
  }

  function redraw() {
    places.forEach((place) => { stale.add(place); nearby.unobserve(place); nearby.observe(place); });
    document.documentElement.dataset.drawn = "some";
    whenIdle(drawRest);
  }

  places.forEach((place) => {
    const figure = drawings.figures[Number(place.dataset.figure)];
    place.textContent = "";
    place.style.minHeight = `${figure.layout.height}px`; // prevents layout shifts as figures are drawn
  });
  redraw();
  dark.addEventListener("change", redraw);
  narrow.addEventListener("change", redraw);
  document.querySelectorAll("details").forEach((details) => details.addEventListener("toggle", () => whenIdle(drawRest)));

  // For printing: light colours, and everything unfolded.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = Array.from(document.querySelectorAll("details:not([open])"));
    folded.forEach((details) => { details.open = true; });
    isPaper = true;
    redraw();
    drawStale(places);
  });
  window.addEventListener("afterprint", () => {
    folded.forEach((details) => { details.open = false; });
    isPaper = false;
    redraw();
  });
})();
