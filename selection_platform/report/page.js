// Sorting, filtering and highlighting. Without this script, the page still shows everything.
(() => {
  "use strict";
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  const value = (cell) => {
    const text = (cell.querySelector(".value") ?? cell).textContent.trim();
    const words = cell.classList.contains("words");
    return words ? text : parseFloat(cell.dataset.order ?? text.replaceAll(",", ""));
  };

  // Cells without a number stay at the bottom, in both directions.
  const compare = (one, other, direction) => {
    if (typeof one === "string") return direction * one.localeCompare(other, "en", { numeric: true });
    if (Number.isNaN(one) || Number.isNaN(other)) return Number.isNaN(one) - Number.isNaN(other);
    return direction * (one - other);
  };

  const place = (table, rows, head, direction) => {
    all("thead th", table).forEach((heading) => heading.removeAttribute("aria-sort"));
    if (direction) head.setAttribute("aria-sort", direction);
    table.tBodies[0].append(...rows);
  };

  const originalRows = new Map(all("main table").map((table) => [table, [...table.tBodies[0].rows]]));
  const restoreOrder = () => originalRows.forEach((rows, table) => place(table, rows));

  const sort = (table, head) => {
    const steps = head.classList.contains("words") ? ["ascending", "descending"] : ["descending", "ascending"];
    const next = steps[steps.indexOf(head.getAttribute("aria-sort")) + 1];
    const column = head.cellIndex;
    const rows = [...originalRows.get(table)];
    if (next) {
      const direction = next === "ascending" ? 1 : -1;
      rows.sort((one, other) => compare(value(one.cells[column]), value(other.cells[column]), direction));
    }
    place(table, rows, head, next);
  };

  for (const table of originalRows.keys()) {
    for (const head of all("thead th", table)) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.title = "Sort by this column";
      button.addEventListener("click", () => sort(table, head));
      head.append(button);
    }
  }

  const tools = document.querySelector("#tools");
  const [words, cell, counts] = ["#arms-wanted", "#cell-wanted", "#shown"].map((id) => tools.querySelector(id));
  const cells = new Set(all("option", cell).map((option) => option.value).filter(Boolean));
  const ofCell = all("[data-cell]").map((part) => [part, part.dataset.cell]);
  for (const paragraph of all("main section > p")) {
    const name = [...cells].find((name) => paragraph.textContent.startsWith(`${name}: `));
    if (name) ofCell.push([paragraph, name]);
  }

  const filter = () => {
    const wanted = words.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    const shown = (arm) => wanted.length === 0 || wanted.some((word) => arm.toLowerCase().includes(word));
    for (const row of all("tr[data-arm]")) row.classList.toggle("out", !shown(row.dataset.arm));
    const other = (name) => name !== undefined && cell.value !== "" && name !== cell.value;
    for (const [part, name] of ofCell) part.classList.toggle("out", other(name));
    for (const head of all("thead th")) {
      const out = other([...cells].find((name) => head.textContent.trim().endsWith(name)));
      for (const row of head.closest("table").rows) row.cells[head.cellIndex].classList.toggle("out", out);
    }
    const arms = [...new Set(all("tr[data-arm]").map((row) => row.dataset.arm))];
    counts.textContent = `${arms.filter(shown).length} of ${arms.length} arms shown`;
  };

  const mark = (event) => {
    const arm = event.target.closest?.("tr[data-arm]")?.dataset.arm;
    for (const row of all("tr[data-arm]")) row.classList.toggle("marked", arm !== undefined && row.dataset.arm === arm);
  };

  const wide = new ResizeObserver((changed) => {
    for (const { target } of changed) target.classList.toggle("more", target.scrollWidth > target.clientWidth);
  });
  all(".scroll").forEach((region) => wide.observe(region));

  tools.hidden = false;
  tools.addEventListener("input", filter);
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.addEventListener("reset", () => { setTimeout(filter); restoreOrder(); });
  document.querySelector("main").addEventListener("mouseover", mark);
  // Print everything in the original order.
  window.addEventListener("beforeprint", restoreOrder);
  filter();
})();
