const table = document.getElementById("weights-table"), search = document.getElementById("weights-search");
if (table) {
  const body = table.tBodies[0], rows = [...body.rows], shown = document.getElementById("weights-shown");
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
      count += !row.hidden;
    }
    shown.textContent = `${count} of ${rows.length} shown`;
  };
  search.addEventListener("input", filter);
  for (const head of table.tHead.rows[0].cells) {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = row => row.cells[head.cellIndex].dataset.value ?? row.cells[head.cellIndex].textContent;
      const order = (a, b) => key(a).localeCompare(key(b), "en", { numeric: true });
      rows.sort((a, b) => (down ? order(b, a) : order(a, b)));
      body.append(...rows);
    });
  }
  filter();
}
