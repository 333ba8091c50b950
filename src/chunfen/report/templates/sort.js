"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (head.classList.contains("plot")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      const text = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const numeric = head.dataset.sort === "number";
      const compare = numeric
        ? (a, b) => (text(a) === "" ? Infinity : Number(text(a))) - (text(b) === "" ? Infinity : Number(text(b)))
        : (a, b) => text(a).localeCompare(text(b), document.documentElement.lang);
      for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      body.append(...[...body.rows].sort((a, b) => (up ? 1 : -1) * compare(a, b)));
    });
  });
}
