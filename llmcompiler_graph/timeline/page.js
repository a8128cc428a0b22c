// While a row is pointed at or has the focus: what it holds, in a card, and lines to what it needed and unlocked.
// Buttons choose the rows that are shown. Without this script everything can still be read.
const SVG = "http://www.w3.org/2000/svg";

function bar(row) {
  return row && row.offsetParent && (row.querySelector("i.bar") || row.querySelector("i.approval, i.wait"));
}

function connect(lines, from, to) {
  const [start, end, frame] = [bar(from), bar(to), lines].map((each) => each && each.getBoundingClientRect());
  if (!start || !end) return;
  const [x1, y1] = [start.right - frame.left, (start.top + start.bottom) / 2 - frame.top];
  const [x2, y2] = [end.left - frame.left, (end.top + end.bottom) / 2 - frame.top];
  const path = lines.appendChild(document.createElementNS(SVG, "path"));
  path.setAttribute("d", `M${x1} ${y1}C${x1 + 25} ${y1} ${x2 - 25} ${y2} ${x2} ${y2}`);
}

for (const chart of document.querySelectorAll(".llmc .chart")) {
  const lines = chart.appendChild(document.createElementNS(SVG, "svg"));
  lines.setAttribute("class", "links");
  lines.setAttribute("aria-hidden", "true");
  const card = chart.appendChild(document.createElement("div"));
  card.className = "card";
  card.hidden = card.inert = true;
  const named = (row, kind) => (row.dataset[kind] || "").split(" ").filter(Boolean).map((id) => document.getElementById(id));

  function leave() {
    chart.classList.remove("pointed");
    for (const row of chart.querySelectorAll(".on, .needed, .unlocked")) row.classList.remove("on", "needed", "unlocked");
    lines.replaceChildren();
    card.hidden = true;
  }
  function enter(row) {
    leave();
    row.classList.add("on");
    for (const other of named(row, "needs")) if (other) other.classList.add("needed"), connect(lines, other, row);
    for (const other of named(row, "unlocks")) if (other) other.classList.add("unlocked"), connect(lines, row, other);
    chart.classList.toggle("pointed", !row.classList.contains("model"));
    const details = row.querySelector("details");
    if (details.open) return;
    card.replaceChildren(details.querySelector("dl").cloneNode(true));
    card.hidden = false;
    // in the lower right corner, or in the upper one where it would lie on the row
    card.classList.toggle("upper", row.getBoundingClientRect().bottom > innerHeight - card.offsetHeight - 24);
  }
  for (const row of chart.querySelectorAll(".rows > li")) {
    row.addEventListener("mouseenter", () => enter(row));
    row.addEventListener("mouseleave", leave);
    row.addEventListener("focusin", () => row.querySelector("summary").matches(":focus-visible") && enter(row));
    row.addEventListener("focusout", leave);
    row.querySelector("details").addEventListener("toggle", leave);
  }
  addEventListener("keydown", (event) => event.key === "Escape" && leave());
}

for (const filters of document.querySelectorAll(".llmc .filters")) {
  filters.hidden = false;
  filters.addEventListener("click", (event) => {
    const pressed = event.target.closest("button");
    if (!pressed) return;
    for (const button of filters.children) button.setAttribute("aria-pressed", String(button === pressed));
    filters.closest("section").dataset.show = pressed.dataset.show;
  });
}

// A link to a row opens it.
function open() {
  const row = document.getElementById(location.hash.slice(1));
  const details = row && row.querySelector("details");
  if (details && row.matches(".rows > li")) details.open = true, details.firstElementChild.focus();
}
addEventListener("hashchange", open);
open();
