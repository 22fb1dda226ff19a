"use strict";
// The page says everything without this script; it adds a filter, and opens what a permalink names.
{
  const form = document.getElementById("filter");
  const table = document.getElementById("cells");

  const filter = () => {
    const { text, group, verdict, count } = form.elements;
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const heads = [...table.querySelectorAll(".groups th[data-framework]")];
    const shown = heads.map((head) => !group.value || head.dataset.framework === group.value);
    heads.forEach((head, at) => head.classList.toggle("away", !shown[at]));
    for (const band of table.querySelectorAll(".bands th")) {
      band.classList.toggle("away", Boolean(group.value) && band.dataset.framework !== group.value);
    }
    let rows = 0;
    for (const body of table.tBodies) {
      let any = false;
      const chapter = body.rows[0].textContent.toLowerCase();
      for (const row of [...body.rows].slice(1)) {
        const squares = [...row.cells].slice(1);
        squares.forEach((square, at) => square.classList.toggle("away", !shown[at]));
        const said = chapter.split(" ")[0] + "/" + row.cells[0].textContent.toLowerCase();
        const kept =
          words.every((word) => said.includes(word)) &&
          (!verdict.value || squares.some((square, at) => shown[at] && square.querySelector("." + verdict.value)));
        row.classList.toggle("away", !kept);
        any ||= kept;
        rows += kept;
      }
      body.classList.toggle("away", !any);
    }
    const narrowed = words.length || group.value || verdict.value;
    count.value = narrowed ? `${rows} requirement${rows === 1 ? "" : "s"} shown` : "";
  };

  const drawn = (cell) => {
    // A cell without a drill-down of its own is lit in the matrix.
    const [requirement, ...rest] = cell.split("@");
    const heads = [...table.querySelectorAll(".groups th[data-keys]")];
    const row = [...table.querySelectorAll("tr[data-requirement]")].find((tr) => tr.dataset.requirement === requirement);
    const at = heads.findIndex((head) => head.dataset.keys.split("\n").includes(rest.join("@")));
    if (!row || at < 0) return null;
    const square = row.cells[at + 1];
    const place = heads[at].dataset.keys.split("\n").indexOf(rest.join("@"));
    return square.children[place] ?? square.firstElementChild;
  };

  const open = () => {
    for (const lit of document.querySelectorAll(".lit")) lit.classList.remove("lit");
    let name = location.hash.slice(1);
    try {
      name = decodeURIComponent(name);
    } catch {
      // A fragment that is no valid escape is taken as it stands.
    }
    if (!name) return;
    let target = document.getElementById(name);
    if (!target && table && name.includes("@")) {
      target = drawn(name);
      target?.classList.add("lit");
    }
    if (!target) return;
    for (let around = target; around; around = around.parentElement) {
      if (around instanceof HTMLDetailsElement) around.open = true;
    }
    target.scrollIntoView({ block: target.matches(".cell, .requirement") ? "start" : "center" });
  };

  if (form && table) {
    form.hidden = false;
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    filter();
  }
  addEventListener("hashchange", open);
  open();
}
