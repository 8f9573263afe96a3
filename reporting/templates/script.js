"use strict";
// Sorts a table by the column whose header button is pressed; failed and empty cells stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const text = row.cells[column] ? row.cells[column].dataset.sort : "";
    return text === undefined || text === "" ? null : text;
  };
  const compare = (a, b, numeric) => (numeric ? Number(a) - Number(b) : a.localeCompare(b));
  headers.forEach((header, column) => {
    const button = header.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const numeric = header.dataset.kind === "number";
      const before = header.getAttribute("aria-sort");
      // The first press shows what people look for: the largest number, the first name.
      const first = numeric ? "descending" : "ascending";
      const other = numeric ? "ascending" : "descending";
      const order = before === first ? other : first;
      for (const cell of headers) cell.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const rows = [...body.rows].map((row) => [row, value(row, column)]);
      rows.sort(([, a], [, b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        return sign * compare(a, b, numeric);
      });
      body.append(...rows.map(([row]) => row));
      const status = document.getElementById("sorted");
      if (status) status.textContent = `Sorted by ${button.dataset.name}, ${order}.`;
    });
  });
}
