// Turns the headings of sortable tables into sort buttons. Rows move, or blocks of rows that belong together.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const blocks = table.classList.contains("blocks") ? [...table.tBodies] : [...table.tBodies[0].rows];
  const value = (block, column) => {
    const cell = (block.rows ? block.rows[0] : block).cells[column];
    const text = cell.textContent.trim();
    if (column === 0 || (cell.classList.contains("text") && !("sort" in cell.dataset))) return text.toLowerCase();
    const number = "sort" in cell.dataset ? cell.dataset.sort : text.replace(/−/g, "-").replace(/[,<]/g, "");
    return number === "" || Number.isNaN(parseFloat(number)) ? -Infinity : parseFloat(number);
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const isText = column === 0 || head.classList.contains("text");
      const up = head.getAttribute("aria-sort") === "descending" || (isText && !head.hasAttribute("aria-sort"));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const values = new Map(blocks.map((block) => [block, value(block, column)]));
      const order = (a, b) =>
        typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a > b ? 1 : a < b ? -1 : 0;
      blocks.sort((a, b) => order(values.get(a), values.get(b)) * (up ? 1 : -1));
      (blocks[0].rows ? table : table.tBodies[0]).append(...blocks);
    });
  });
}
// A link to a folded part opens it; print shows every part.
const reveal = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", reveal);
if (location.hash) reveal();
const parts = [...document.querySelectorAll("details.part")];
let opened = [];
addEventListener("beforeprint", () => {
  opened = parts.filter((part) => !part.open);
  opened.forEach((part) => (part.open = true));
});
addEventListener("afterprint", () => opened.forEach((part) => (part.open = false)));
