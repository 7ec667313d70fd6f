// Turns the headings of sortable tables into sort buttons.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const blocks = [...table.tBodies];
  const value = (block, column) => {
    const cell = block.rows[0].cells[column];
    return "sort" in cell.dataset ? Number(cell.dataset.sort || "-Infinity") : cell.textContent.trim().toLowerCase();
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending" || (column === 0 && !head.hasAttribute("aria-sort"));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      blocks.sort((a, b) => {
        const [x, y] = [value(a, column), value(b, column)];
        return (x > y ? 1 : x < y ? -1 : 0) * (up ? 1 : -1);
      });
      table.append(...blocks);
    });
  });
}
