// The leaderboard sorts and filters; without this script it is a plain table.
const table = document.querySelector("#rows");
const body = table.tBodies[0];
const rows = [...body.rows];
const heads = [...table.tHead.rows[0].cells];
const controls = document.querySelector("#filters");
const { words, strategy, similar, columns } = controls.elements;

function compared(column, sign) {
  return (a, b) => {
    const [x, y] = [a.cells[column].dataset.value, b.cells[column].dataset.value];
    if (x === "" || y === "") return (x === "") - (y === "");
    return sign * (isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y);
  };
}

function sortBy(column) {
  const head = heads[column];
  const better = head.dataset.first;
  const other = better === "ascending" ? "descending" : "ascending";
  const order = head.getAttribute("aria-sort") === better ? other : better;
  body.append(...[...body.rows].sort(compared(column, order === "ascending" ? 1 : -1)));
  heads.forEach(each => each.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", order);
}

function filter() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows) {
    const { words: own, strategy: ownStrategy } = row.dataset;
    row.hidden = !(wanted.every(word => own.includes(word)) && (!strategy.value || strategy.value === ownStrategy)
      && (!similar.checked || row.classList.contains("similar")));
  }
  const shown = rows.filter(row => !row.hidden).length;
  controls.querySelector("output").textContent = `${shown} of ${rows.length} rows`;
}

heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => sortBy(column)));
controls.hidden = false;
controls.addEventListener("submit", event => event.preventDefault());
controls.addEventListener("input", filter);
controls.addEventListener("reset", () => setTimeout(() => { filter(); showColumns(); words.focus(); }));
const showColumns = () => table.classList.toggle("core", !columns.checked);
columns.addEventListener("input", showColumns);
// A browser may bring back what was typed before a reload.
filter();
showColumns();
