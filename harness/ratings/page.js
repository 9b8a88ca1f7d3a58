
"use strict";
const sheet = JSON.parse(document.getElementById("sheet").textContent);
const criteria = Object.keys(sheet.criteria);
const CHOICES = { left: "left is better", tie: "tie", right: "right is better" };
const KEPT = `pytest-sft ratings ${sheet.digest}`;
const $ = (id) => document.getElementById(id);

// Own properties only: an item or a criterion may be called anything.
let work = { rater: "", at: 0, ratings: Object.create(null) };
let marked = 0;

function warn(sentence) {
  $("warning").textContent = sentence;
  $("warning").hidden = !sentence;
}

// What was kept or saved is taken over only where it fits this sheet, so that no damaged file breaks the page.
function takeOver(found) {
  const known = new Set(sheet.items.map((item) => item.item));
  for (const each of Array.isArray(found.ratings) ? found.ratings : []) {
    if (!each || !known.has(each.item)) continue;
    const rating = {};
    for (const name of criteria) if (Object.hasOwn(CHOICES, each[name])) rating[name] = each[name];
    if (typeof each.comment === "string" && each.comment) rating.comment = each.comment.slice(0, 2000);
    work.ratings[each.item] = rating;
  }
  if (typeof found.rater === "string") work.rater = found.rater.slice(0, 60);
  if (Number.isInteger(found.at) && found.at >= 0 && found.at < sheet.items.length) work.at = found.at;
}

function written() {
  const ratings = sheet.items
    .filter((item) => Object.keys(work.ratings[item.item] ?? {}).length)
    .map((item) => ({ item: item.item, digest: item.digest, ...work.ratings[item.item] }));
  return { format: sheet.format, version: sheet.version, sheet: sheet.digest, rater: work.rater.trim(), ratings };
}

function keep() {
  try {
    localStorage.setItem(KEPT, JSON.stringify({ ...written(), at: work.at }));
  } catch {
    warn("This browser keeps nothing here: save your ratings into a file before you close the page.");
  }
}

const rated = (item) => criteria.every((name) => work.ratings[item.item]?.[name]);

function build() {
  criteria.forEach((name, position) => {
    const field = document.createElement("fieldset");
    const legend = field.appendChild(document.createElement("legend"));
    legend.appendChild(document.createElement("b")).textContent = name;
    legend.append(` ${sheet.criteria[name]}`);
    for (const [choice, words] of Object.entries(CHOICES)) {
      const label = field.appendChild(document.createElement("label"));
      const radio = label.appendChild(document.createElement("input"));
      Object.assign(radio, { type: "radio", name, value: choice });
      radio.addEventListener("change", () => choose(position, choice));
      label.append(` ${words}`);
    }
    field.addEventListener("focusin", () => mark(position));
    $("criteria").append(field);
  });
}

function mark(position) {
  marked = position;
  [...$("criteria").children].forEach((field, at) => field.classList.toggle("marked", at === position));
}

function choose(position, choice) {
  (work.ratings[sheet.items[work.at].item] ??= {})[criteria[position]] = choice;
  keep();
  progress();
}

function progress() {
  const count = sheet.items.filter(rated).length;
  $("bar").max = sheet.items.length;
  $("bar").value = count;
  $("done").textContent = `${count} of ${sheet.items.length} rated`;
  $("place").textContent = `pair ${work.at + 1} of ${sheet.items.length}${rated(sheet.items[work.at]) ? " ✓" : ""}`;
}

function show() {
  const item = sheet.items[work.at];
  for (const name of ["prompt", "left", "right"]) {
    $(name).textContent = item[name];
    $(name).scrollTop = 0;
  }
  const rating = work.ratings[item.item] ?? {};
  for (const radio of $("criteria").querySelectorAll("input")) radio.checked = rating[radio.name] === radio.value;
  $("comment").value = rating.comment ?? "";
  $("rater").value = work.rater;
  const open = criteria.findIndex((name) => !rating[name]);
  mark(open < 0 ? 0 : open);
  $("previous").disabled = work.at === 0;
  $("next").disabled = work.at === sheet.items.length - 1;
  progress();
}

function go(place) {
  if (place < 0 || place >= sheet.items.length) return;
  work.at = place;
  document.activeElement?.blur();
  keep();
  show();
}

function goToOpen() {
  const order = sheet.items.map((_, step) => (work.at + 1 + step) % sheet.items.length);
  const open = order.find((place) => !rated(sheet.items[place]));
  if (open !== undefined) go(open);
}

function save() {
  if (!work.rater.trim()) {
    warn("Give your name (or initials) first: it tells the files of two raters apart.");
    $("rater").focus();
    return;
  }
  warn("");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(written(), null, 1)], { type: "application/json" }));
  link.download = `ratings-${work.rater.match(/[\p{L}\p{N}]+/gu)?.join("-") ?? "rater"}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function load(file) {
  try {
    const found = JSON.parse(await file.text());
    if (found?.format !== sheet.format) throw new Error("it is no file of ratings");
    if (found.sheet !== sheet.digest) throw new Error("it holds ratings of another sheet");
    takeOver(found);
    warn("");
    keep();
    show();
  } catch (error) {
    warn(`${file.name} cannot be taken over: ${error.message}.`);
  }
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("textarea, #rater")) return;
  const choice = { 1: "left", 2: "tie", 3: "right" }[event.key];
  if (choice) {
    const position = marked;
    choose(position, choice);
    $("criteria").children[position].querySelector(`[value=${choice}]`).checked = true;
    mark(Math.min(position + 1, criteria.length - 1));
  } else if (event.key === "n") go(work.at + 1);
  else if (event.key === "p") go(work.at - 1);
  else if (event.key === "o") goToOpen();
  else return;
  event.preventDefault();
}

build();
try {
  takeOver(JSON.parse(localStorage.getItem(KEPT) ?? "{}") ?? {});
} catch {
  warn("What this browser had kept cannot be read; go on from a saved file, or begin anew.");
}
$("previous").addEventListener("click", () => go(work.at - 1));
$("next").addEventListener("click", () => go(work.at + 1));
$("open").addEventListener("click", goToOpen);
$("export").addEventListener("click", save);
$("import").addEventListener("change", (event) => event.target.files[0] && load(event.target.files[0]));
$("rater").addEventListener("input", (event) => { work.rater = event.target.value; keep(); });
$("comment").addEventListener("input", (event) => {
  const rating = (work.ratings[sheet.items[work.at].item] ??= {});
  if (event.target.value) rating.comment = event.target.value;
  else delete rating.comment;
  keep();
});
document.addEventListener("keydown", onKey);
$("criteria").addEventListener("submit", (event) => event.preventDefault());
show();
