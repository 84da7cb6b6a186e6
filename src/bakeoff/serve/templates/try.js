"use strict";
(function () {
  const drop = document.getElementById("drop");
  const input = document.getElementById("photo");
  const preview = document.getElementById("preview");
  const status = document.getElementById("status");
  const table = document.getElementById("classes");
  const known = document.getElementById("known");
  let asked = 0; // answers to earlier photos are dropped

  function say(text) {
    status.textContent = text;
  }

  function show(answer) {
    const rows = answer.classes.map((each) => {
      const row = document.createElement("tr");
      const name = document.createElement("th");
      const share = document.createElement("td");
      const bar = document.createElement("meter");
      name.scope = "row";
      name.textContent = each.name;
      bar.value = each.probability;
      bar.setAttribute("aria-hidden", "true");
      share.append(bar, ` ${(100 * each.probability).toFixed(1)}%`);
      row.append(name, share);
      return row;
    });
    table.tBodies[0].replaceChildren(...rows);
    table.hidden = false;
    known.textContent = answer.known;
  }

  async function send(file) {
    const mine = ++asked;
    if (preview.src) URL.revokeObjectURL(preview.src);
    preview.src = URL.createObjectURL(file);
    preview.alt = file.name;
    preview.hidden = false;
    table.hidden = true;
    known.textContent = "";
    say("Classifying ...");
    try {
      const reply = await fetch(drop.dataset.action, {
        method: "POST", body: file, credentials: "omit", headers: { "Content-Type": "application/octet-stream" },
      });
      const answer = await reply.json();
      if (mine !== asked) return;
      say(answer.problem || "");
      if (!answer.problem) show(answer);
    } catch (error) {
      if (mine === asked) say("The server does not respond.");
    }
  }

  input.addEventListener("change", () => input.files.length && send(input.files[0]));
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
  });
})();
