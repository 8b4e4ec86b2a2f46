"use strict";
// Sliders: three strips of one picture, degraded, restored, clear; each of the two edges has an input of its own.
for (const slider of document.querySelectorAll("figure.slider")) {
  const pictures = slider.querySelector(".pictures"), [first, second] = slider.querySelectorAll("input");
  const show = moved => {
    const at = Number(moved.value);
    if (moved === first && Number(second.value) < at) second.value = at;
    if (moved === second && Number(first.value) > at) first.value = at;
    pictures.style.setProperty("--restored", `${first.value}%`);
    pictures.style.setProperty("--clear", `${second.value}%`);
    for (const input of [first, second]) input.setAttribute("aria-valuetext", `${input.value} % from the left`);
  };
  let held = first;
  const drag = event => {
    const box = pictures.getBoundingClientRect();
    const at = Math.round(100 * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
    if (event.type === "pointerdown") {
      held = Math.abs(at - first.value) <= Math.abs(at - second.value) ? first : second;
      pictures.setPointerCapture(event.pointerId);
    } else if (event.buttons !== 1) return;
    held.value = at;
    show(held);
  };
  for (const input of [first, second]) input.addEventListener("input", () => show(input));
  pictures.addEventListener("pointerdown", drag);
  pictures.addEventListener("pointermove", drag);
  pictures.addEventListener("dragstart", event => event.preventDefault());
  show(first);
}

// Tables: each header becomes a button that sorts; empty cells stay last.
const value = cell => {
  const text = cell.textContent.trim(), number = parseFloat(text.replaceAll(",", "").replace("\u2212", "-"));
  return text === "" ? null : /^[+\-\u2212]?[\d.]/.test(text) && !Number.isNaN(number) ? number : text;
};
const order = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
for (const table of document.querySelectorAll("table")) {
  const head = table.tHead?.rows[0], body = table.tBodies[0];
  if (!head || !body || body.rows.length < 2) continue;
  [...head.cells].forEach((cell, column) => {
    if (!cell.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const up = cell.getAttribute("aria-sort") !== "ascending";
      for (const other of head.cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].map(row => [row, value(row.cells[column])]);
      rows.sort(([, a], [, b]) => a === null ? (b === null ? 0 : 1) : b === null ? -1 : up ? order(a, b) : order(b, a));
      body.append(...rows.map(([row]) => row));
    });
  });
}

// What scrolls sideways can be reached by the keyboard.
const reachable = () => {
  for (const box of document.querySelectorAll(".wide, .highlight, pre")) {
    const scrolls = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
    for (const [name, value] of [["tabindex", 0], ["role", "group"], ["aria-label", "scrolls"]])
      if (scrolls) box.setAttribute(name, value);
      else box.removeAttribute(name);
  }
};
addEventListener("resize", reachable);
document.addEventListener("toggle", reachable, true);
reachable();

// On a narrow screen the contents begin folded.
if (matchMedia("(max-width: 86rem)").matches) document.querySelector("nav.contents details").open = false;

// A link into a folded part opens it; paper shows all but code and the notebooks that are folded.
const unfold = () => {
  for (let at = document.getElementById(decodeURIComponent(location.hash.slice(1))); at; at = at.parentElement)
    if (at.tagName === "DETAILS") at.open = true;
};
addEventListener("hashchange", unfold);
unfold();
addEventListener("beforeprint", () => document.querySelectorAll("main details:not(.code, .stage)").forEach(d => d.open = true));
