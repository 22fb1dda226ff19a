"use strict";
// The page says everything without this script; it adds filters, keys, and what a permalink names.
{
  const form = document.getElementById("filter");
  const table = document.getElementById("cells");
  const said = document.getElementById("said");
  const NAMES = ["text", "framework", "dtype", "mode", "chapter", "verdict", "order"];
  const folded = new Set();
  const heads = table ? [...table.querySelectorAll(".groups th[data-keys]")] : [];
  const dtypes = heads.map((head) => [...head.querySelectorAll(".dtypes i")].map((each) => each.textContent));
  const bodies = table ? [...table.tBodies] : [];
  const rows = (body) => [...body.rows].slice(1);
  const asMade = new Map(bodies.map((body) => [body, rows(body)]));

  // The last number of a figure that holds is the share of what is allowed that is used.
  const used = (row) => {
    const chips = [...row.querySelectorAll("td:not(.away) > .p:not(.away)")];
    return Math.max(-1, ...chips.map((chip) => parseFloat(chip.textContent.slice(2)) || 0));
  };
  const slug = (row) => row.dataset.requirement;

  const order = (how) => {
    for (const [body, made] of asMade) {
      const sorted = [...made];
      if (how === "used") {
        const share = new Map(made.map((row) => [row, used(row)]));
        sorted.sort((one, other) => share.get(other) - share.get(one));
      }
      if (how === "name") sorted.sort((one, other) => (slug(one) < slug(other) ? -1 : 1));
      body.append(...sorted);
    }
  };

  const chosen = () => Object.fromEntries(NAMES.map((name) => [name, form.elements[name].value]));

  let drawnOrder = "";
  const filter = () => {
    const { text, framework, dtype, mode, chapter, verdict, order: how } = chosen();
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = heads.map(
      (head, at) =>
        (!framework || head.dataset.framework === framework) &&
        (!mode || head.dataset.mode === mode) &&
        (!dtype || dtypes[at].includes(dtype)),
    );
    heads.forEach((head, at) => {
      head.classList.toggle("away", !shown[at]);
      [...head.querySelectorAll(".dtypes i")].forEach((each) => each.classList.toggle("away", dtype && each.textContent !== dtype));
    });
    let at = 0;
    for (const band of table.querySelectorAll(".bands th")) {
      const span = Number((band.dataset.span ??= band.colSpan));
      const left = shown.slice(at, at + span).filter(Boolean).length;
      at += span;
      band.classList.toggle("away", !left);
      band.colSpan = left || 1;
    }
    let count = 0;
    for (const body of bodies) {
      const name = body.dataset.chapter;
      let any = false;
      for (const row of rows(body)) {
        let found = !verdict;
        [...row.cells].slice(1).forEach((square, place) => {
          square.classList.toggle("away", !shown[place]);
          const all = square.classList.contains("one");
          [...square.children].forEach((chip, nth) => {
            const hidden = Boolean(dtype) && !all && dtypes[place][nth] !== dtype;
            chip.classList.toggle("away", hidden);
            found ||= shown[place] && !hidden && chip.classList.contains(verdict);
          });
        });
        const about = (name + "/" + row.cells[0].textContent).toLowerCase();
        const kept = found && (!chapter || name === chapter) && words.every((word) => about.includes(word));
        row.classList.toggle("away", !kept || folded.has(name));
        any ||= kept;
        count += kept;
      }
      body.classList.toggle("away", !any);
      body.querySelector("button")?.setAttribute("aria-expanded", String(!folded.has(name)));
    }
    if (how === "used" || how !== drawnOrder) order((drawnOrder = how));
    table.classList.toggle("single", Boolean(dtype));
    const narrowed = words.length || framework || dtype || mode || chapter || verdict;
    form.elements.count.value = narrowed ? `${count} requirement${count === 1 ? "" : "s"} shown` : "";
    form.elements.fold.textContent = folded.size ? "Unfold all" : "Fold all";
  };

  const remember = () => {
    const state = new URLSearchParams(Object.entries(chosen()).filter(([, value]) => value));
    if (folded.size) state.set("folded", [...folded].join(","));
    const text = state.toString();
    if (text || location.hash.startsWith("#show?")) history.replaceState(null, "", text ? `#show?${text}` : "#matrix");
  };

  const recall = (query) => {
    const state = new URLSearchParams(query);
    for (const name of NAMES) {
      form.elements[name].value = state.get(name) ?? "";
      if (form.elements[name].selectedIndex === -1) form.elements[name].value = "";
    }
    folded.clear();
    for (const name of (state.get("folded") ?? "").split(",").filter(Boolean)) folded.add(name);
    filter();
    document.getElementById("matrix").scrollIntoView();
  };

  const fold = (name) => {
    if (!folded.delete(name)) folded.add(name);
    filter();
    remember();
  };

  const place = (chip) => {
    // Which column and dtype a figure stands for, its key, and the sentence that says it.
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

  const drawn = (cell) => {
    // A cell without a drill-down of its own is lit in the matrix.
    const [requirement, ...rest] = cell.split("@");
    const row = [...table.querySelectorAll("tr[data-requirement]")].find((tr) => slug(tr) === requirement);
    const at = heads.findIndex((head) => head.dataset.keys.split("\n").includes(rest.join("@")));
    if (!row || at < 0) return null;
    const square = row.cells[at + 1];
    const nth = heads[at].dataset.keys.split("\n").indexOf(rest.join("@"));
    return square.children[nth] ?? square.firstElementChild;
  };

  const light = (chip) => {
    for (const lit of document.querySelectorAll(".lit")) lit.classList.remove("lit");
    chip?.classList.add("lit");
    if (chip && said) said.textContent = sentence(chip);
  };

  const open = () => {
    light(null);
    let name = location.hash.slice(1);
    if (name.startsWith("show?") && table) return recall(name.slice(5));
    try {
      name = decodeURIComponent(name);
    } catch {
      // A fragment that is no valid escape is taken as it stands.
    }
    if (!name) return;
    let target = document.getElementById(name);
    if (!target && table && name.includes("@")) light((target = drawn(name)));
    if (!target) return;
    for (let around = target; around; around = around.parentElement) {
      if (around instanceof HTMLDetailsElement) around.open = true;
    }
    target.scrollIntoView({ block: target.matches(".cell, .requirement") ? "start" : "center" });
  };

  const walk = (chip, key) => {
    const seen = (node) => node && node.getClientRects().length > 0;
    const along = [...chip.closest("tr").querySelectorAll("td > *")].filter(seen);
    if (key === "ArrowLeft" || key === "ArrowRight") return along[along.indexOf(chip) + (key === "ArrowLeft" ? -1 : 1)];
    const { row, at, nth } = place(chip);
    const all = [...table.querySelectorAll("tr[data-requirement]")].filter(seen);
    const square = all[all.indexOf(row) + (key === "ArrowUp" ? -1 : 1)]?.cells[at + 1];
    return square && (square.children[nth] ?? square.firstElementChild);
  };

  const press = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const writing = event.target.matches("input, select, textarea");
    const chip = event.target.closest("#cells td > *");
    if (event.key === "/" && !writing) {
      form.elements.text.focus();
    } else if (event.key === "Escape" && (form.contains(event.target) || chip)) {
      form.reset();
    } else if (chip && event.key.startsWith("Arrow")) {
      const next = walk(chip, event.key);
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
    form.addEventListener("input", () => (filter(), remember()));
    form.addEventListener("reset", () => setTimeout(() => (folded.clear(), filter(), remember())));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.elements.fold.addEventListener("click", () => {
      const any = folded.size > 0;
      folded.clear();
      if (!any) for (const body of bodies) folded.add(body.dataset.chapter);
      filter();
      remember();
    });
    table.addEventListener("focusin", (event) => event.target.matches("td > *") && light(event.target));
    table.addEventListener("click", (event) => {
      if (!event.target.matches("td > i")) return;
      event.target.tabIndex = -1;
      event.target.focus();
      history.replaceState(null, "", `#${encodeURI(place(event.target).key)}`);
    });
    document.addEventListener("keydown", press);
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
  addEventListener("hashchange", open);
  open();
}
