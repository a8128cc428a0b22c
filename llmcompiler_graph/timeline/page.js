// While a task is pointed at or has the focus, the tasks it needed and unlocked are marked.
for (const row of document.querySelectorAll(".llmc li[data-related]")) {
  const related = row.dataset.related.split(" ").filter(Boolean).map((id) => document.getElementById(id));
  const mark = (on) => related.forEach((other) => other && other.classList.toggle("related", on));
  row.addEventListener("mouseenter", () => mark(true));
  row.addEventListener("mouseleave", () => mark(false));
  row.addEventListener("focusin", () => mark(true));
  row.addEventListener("focusout", () => mark(false));
}
