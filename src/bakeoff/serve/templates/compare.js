"use strict";
(function () {
  const table = document.getElementById("studies");
  if (!table) return;
  const filter = document.getElementById("filter");
  const shown = document.getElementById("shown");
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  // A row is shown if it holds every word, in a cell or in what is not shown: id, question, arms.
  function showMatches() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let number = 0;
    for (const row of body.rows) {
      const text = `${row.textContent} ${row.dataset.text}`.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      number += row.hidden ? 0 : 1;
    }
    shown.textContent = words.length ? `${number} of ${body.rows.length} studies` : "";
  }

  function valueOf(row, column) {
    const cell = row.cells[column];
    return cell.dataset.value ?? cell.textContent.trim();
  }

  // Rows without a value come last in both directions.
  function compare(one, other, sign) {
    if (!one || !other) return one ? -1 : other ? 1 : 0;
    const difference = Number(one) - Number(other); // NaN unless both are numbers
    if (!Number.isNaN(difference)) return sign * difference;
    return sign * collator.compare(one, other);
  }

  function sort(column) {
    const header = headers[column];
    const order = header.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    const sign = order === "ascending" ? 1 : -1;
    headers.forEach((each) => each.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", order);
    const rows = [...body.rows].sort((a, b) => compare(valueOf(a, column), valueOf(b, column), sign));
    body.append(...rows);
  }

  filter.addEventListener("input", showMatches);
  headers.forEach((header, column) => header.addEventListener("click", () => sort(column)));
  showMatches(); // browsers keep the filter's text over a reload
})();
