"use strict";
// The page is complete without this script, which adds the filter, keys, copy buttons and links to single cells.
{
  const form = document.getElementById("filter");
  const table = document.getElementById("cells");
  const description = document.getElementById("description");
  const NAMES = ["text", "framework", "dtype", "mode", "chapter", "verdict", "order"];
  const folded = new Set();
  const heads = table ? [...table.querySelectorAll(".groups th[data-keys]")] : [];
  const dtypes = heads.map((head) => [...head.querySelectorAll(".dtypes i")].map((each) => each.textContent));
  const bodies = table ? [...table.tBodies] : [];
  const rows = (body) => [...body.rows].slice(1);
  const initialRows = new Map(bodies.map((body) => [body, rows(body)]));

  // A passed figure is a glyph and, after a space, the headroom.
  const largestHeadroom = (row) => {
    const chips = [...row.querySelectorAll("td:not(.away) > .p:not(.away)")];
    return Math.max(-1, ...chips.map((chip) => parseFloat(chip.textContent.slice(2)) || 0));
  };
  const slug = (row) => row.dataset.requirement;

  const sortRows = (order) => {
    for (const [body, initial] of initialRows) {
      const sorted = [...initial];
      if (order === "used") {
        const headroom = new Map(initial.map((row) => [row, largestHeadroom(row)]));
        sorted.sort((one, other) => headroom.get(other) - headroom.get(one));
      }
      if (order === "name") sorted.sort((one, other) => (slug(one) < slug(other) ? -1 : 1));
      body.append(...sorted);
    }
  };

  const filterState = () => Object.fromEntries(NAMES.map((name) => [name, form.elements[name].value]));

  let currentOrder = "";
  const applyFilter = () => {
    const { text, framework, dtype, mode, chapter, verdict, order } = filterState();
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const visible = heads.map(
      (head, at) =>
        (!framework || head.dataset.framework === framework) &&
        (!mode || head.dataset.mode === mode) &&
        (!dtype || dtypes[at].includes(dtype)),
    );
    heads.forEach((head, at) => {
      head.classList.toggle("away", !visible[at]);
      [...head.querySelectorAll(".dtypes i")].forEach((each) => each.classList.toggle("away", dtype && each.textContent !== dtype));
    });
    let at = 0;
    for (const band of table.querySelectorAll(".bands th")) {
      const span = Number((band.dataset.span ??= band.colSpan));
      const remaining = visible.slice(at, at + span).filter(Boolean).length;
      at += span;
      band.classList.toggle("away", !remaining);
      band.colSpan = remaining || 1;
    }
    let count = 0;
    for (const body of bodies) {
      const name = body.dataset.chapter;
      let any = false;
      for (const row of rows(body)) {
        let found = !verdict;
        [...row.cells].slice(1).forEach((square, place) => {
          square.classList.toggle("away", !visible[place]);
          const all = square.classList.contains("one");
          [...square.children].forEach((chip, nth) => {
            const hidden = Boolean(dtype) && !all && dtypes[place][nth] !== dtype;
            chip.classList.toggle("away", hidden);
            found ||= visible[place] && !hidden && chip.classList.contains(verdict);
          });
        });
        const searched = (name + "/" + row.cells[0].textContent).toLowerCase();
        const selected = found && (!chapter || name === chapter) && words.every((word) => searched.includes(word));
        row.classList.toggle("away", !selected || folded.has(name));
        any ||= selected;
        count += selected;
      }
      body.classList.toggle("away", !any);
      body.querySelector("button")?.setAttribute("aria-expanded", String(!folded.has(name)));
    }
    if (order === "used" || order !== currentOrder) sortRows((currentOrder = order));
    table.classList.toggle("single", Boolean(dtype));
    const narrowed = words.length || framework || dtype || mode || chapter || verdict;
    form.elements.count.value = narrowed ? `${count} requirement${count === 1 ? "" : "s"} shown` : "";
    form.elements.fold.textContent = folded.size ? "Unfold all" : "Fold all";
  };

  const writeAddress = () => {
    const state = new URLSearchParams(Object.entries(filterState()).filter(([, value]) => value));
    if (folded.size) state.set("folded", [...folded].join(","));
    const text = state.toString();
    if (text || location.hash.startsWith("#show?")) history.replaceState(null, "", text ? `#show?${text}` : "#matrix");
  };

  const restoreFilter = (query) => {
    const state = new URLSearchParams(query);
    for (const name of NAMES) {
      form.elements[name].value = state.get(name) ?? "";
      if (form.elements[name].selectedIndex === -1) form.elements[name].value = "";
    }
    folded.clear();
    for (const name of (state.get("folded") ?? "").split(",").filter(Boolean)) folded.add(name);
    applyFilter();
    document.getElementById("matrix").scrollIntoView();
  };

  const fold = (name) => {
    if (!folded.delete(name)) folded.add(name);
    applyFilter();
    writeAddress();
  };

  const place = (chip) => {
    // The row, column, dtype and cell key of a figure.
    const square = chip.parentElement;
    const row = square.parentElement;
    const at = square.cellIndex - 1;
    const nth = square.classList.contains("one") ? 0 : [...square.children].indexOf(chip);
    return { row, at, nth, key: `${slug(row)}@${heads[at].dataset.keys.split("\n")[nth]}` };
  };

  const sentence = (chip) => {
    const { row, at, nth } = place(chip);
    const label = chip.getAttribute("aria-label");
    const name = heads[at].querySelector(".name").textContent;
    return label ?? `${slug(row)} on ${name} ${dtypes[at][nth] ?? ""}: ${chip.textContent}`;
  };

  const figure = (cell) => {
    // The figure of a cell, by its key: a cell without details is highlighted in the matrix.
    const [requirement, ...rest] = cell.split("@");
    const row = [...table.querySelectorAll("tr[data-requirement]")].find((tr) => slug(tr) === requirement);
    const at = heads.findIndex((head) => head.dataset.keys.split("\n").includes(rest.join("@")));
    if (!row || at < 0) return null;
    const square = row.cells[at + 1];
    const nth = heads[at].dataset.keys.split("\n").indexOf(rest.join("@"));
    return square.children[nth] ?? square.firstElementChild;
  };

  const highlight = (chip) => {
    for (const other of document.querySelectorAll(".highlighted")) other.classList.remove("highlighted");
    chip?.classList.add("highlighted");
    if (chip && description) description.textContent = sentence(chip);
  };

  const openTarget = () => {
    highlight(null);
    let name = location.hash.slice(1);
    if (name.startsWith("show?") && table) return restoreFilter(name.slice(5));
    try {
      name = decodeURIComponent(name);
    } catch {
      // An invalid escape sequence is used without decoding.
    }
    if (!name) return;
    let target = document.getElementById(name);
    if (!target && table && name.includes("@")) highlight((target = figure(name)));
    if (!target) return;
    for (let around = target; around; around = around.parentElement) {
      if (around instanceof HTMLDetailsElement) around.open = true;
    }
    target.scrollIntoView({ block: target.matches(".cell, .requirement") ? "start" : "center" });
  };

  const neighbour = (chip, key) => {
    const isVisible = (node) => node && node.getClientRects().length > 0;
    const inRow = [...chip.closest("tr").querySelectorAll("td > *")].filter(isVisible);
    if (key === "ArrowLeft" || key === "ArrowRight") return inRow[inRow.indexOf(chip) + (key === "ArrowLeft" ? -1 : 1)];
    const { row, at, nth } = place(chip);
    const all = [...table.querySelectorAll("tr[data-requirement]")].filter(isVisible);
    const square = all[all.indexOf(row) + (key === "ArrowUp" ? -1 : 1)]?.cells[at + 1];
    return square && (square.children[nth] ?? square.firstElementChild);
  };

  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, select, textarea");
    const chip = event.target.closest("#cells td > *");
    if (event.key === "/" && !typing) {
      form.elements.text.focus();
    } else if (event.key === "Escape" && (form.contains(event.target) || chip)) {
      form.reset();
    } else if (chip && event.key.startsWith("Arrow")) {
      const next = neighbour(chip, event.key);
      if (!next) return;
      if (!next.matches("a")) next.tabIndex = -1;
      next.focus();
    } else if (chip && event.key === "f") {
      const body = chip.closest("tbody");
      fold(body.dataset.chapter);
      body.querySelector("button").focus();
    } else if (chip && event.key === "Enter" && !chip.matches("a")) {
      location.hash = encodeURI(place(chip).key);
    } else return;
    event.preventDefault();
  };

  if (form && table) {
    form.hidden = false;
    for (const body of bodies) {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-expanded", "true");
      button.append(...body.querySelector(".chapter span").childNodes);
      button.addEventListener("click", () => fold(body.dataset.chapter));
      body.querySelector(".chapter span").append(button);
    }
    form.addEventListener("input", () => (applyFilter(), writeAddress()));
    form.addEventListener("reset", () => setTimeout(() => (folded.clear(), applyFilter(), writeAddress())));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.elements.fold.addEventListener("click", () => {
      const any = folded.size > 0;
      folded.clear();
      if (!any) for (const body of bodies) folded.add(body.dataset.chapter);
      applyFilter();
      writeAddress();
    });
    table.addEventListener("focusin", (event) => event.target.matches("td > *") && highlight(event.target));
    table.addEventListener("click", (event) => {
      if (!event.target.matches("td > i")) return;
      event.target.tabIndex = -1;
      event.target.focus();
      history.replaceState(null, "", `#${encodeURI(place(event.target).key)}`);
    });
    document.addEventListener("keydown", onKey);
  }
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copy).textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
        button.textContent = "Selected";
      }
    });
  }
  document.addEventListener("mouseover", (event) => {
    const chip = event.target.closest?.("[aria-label].chip, td > [aria-label]");
    if (chip) chip.title ||= chip.getAttribute("aria-label");
  });
  addEventListener("hashchange", openTarget);
  openTarget();
}
