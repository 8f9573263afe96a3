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

// Draws a chart into its place; one that is not shown has no width yet and waits.
const config = JSON.parse(document.getElementById("chart-config").textContent);
const draw = async (place) => {
  const source = place.querySelector("script");
  if (!source || place.offsetWidth === 0) return;
  source.remove();
  const options = { config, renderer: "svg", actions: false, tooltip: { theme: "page" } };
  await window.vegaEmbed(place.appendChild(document.createElement("div")), JSON.parse(source.textContent), options);
};
const drawAll = async () => {
  for (const place of document.querySelectorAll(".chart")) await draw(place);
};

// Vega lies in the page compressed.
const loadVega = async () => {
  const packed = Uint8Array.from(atob(document.getElementById("vega").textContent), (c) => c.charCodeAt(0));
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = `{${await new Response(plain).text()}}`;
  document.head.append(script);
};

for (const group of document.querySelectorAll(".switch")) {
  const buttons = [...group.querySelectorAll("button")];
  const sheets = [...group.parentElement.querySelectorAll(".sheet-of-switch")];
  buttons.forEach((button, chosen) => {
    button.addEventListener("click", () => {
      buttons.forEach((other, k) => other.setAttribute("aria-pressed", String(k === chosen)));
      sheets.forEach((sheet, k) => { sheet.hidden = k !== chosen; });
      drawAll();
    });
  });
}

if (document.querySelector(".chart")) {
  loadVega().then(drawAll).then(() => { document.body.dataset.drawn = "yes"; });
}
