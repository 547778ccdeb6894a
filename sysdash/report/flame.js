/* The flame graph in a browser: the picture to the window's width, zoom, search, keys.
 *
 * What is shown is all in the address: #zoom=NODE&search=EXPRESSION. Whatever a person does changes
 * the address, and the picture is drawn from it, so that a view can be linked and "back" works.
 * Names come from traced processes: they only ever become text nodes.
 */
(() => {
  "use strict";

  const root = document.documentElement;
  if (root.localName !== "svg") return; // within another page the picture stays as it is

  const SVG = "http://www.w3.org/2000/svg";
  const HTML = "http://www.w3.org/1999/xhtml";
  const SIDE = 16;
  const LEVEL = 18;
  const BOTTOM = 40;
  const COLUMN = 7.3; // of the monospace font
  const LABEL_SIDE = 4;
  const LEAST_COLUMNS = 3;
  const LEAST_MODULE = 4;
  const LEAST_SHARE = 0.001; // of the view; what is narrower is not drawn
  const MOST_FRAMES = 10000; // drawn at once
  const TOOLS_WIDTH = 520;
  const NARROW = 900; // a window in which title and tools do not fit side by side

  const data = JSON.parse(byId("data").textContent);
  const { frame, depth, ns, times, leftOut } = data;
  const size = frame.length;
  const all = ns[0];
  // The nodes within a node, itself the first, end before end[node]; left is its time from the left.
  const end = new Array(size).fill(size);
  const parent = new Array(size).fill(0);
  const left = new Array(size).fill(0);
  place();

  const graph = byId("graph");
  const head = byId("head");
  const tools = makeTools();
  const titles = ["title", "subtitle"].map((id) => ({ line: byId(id), text: byId(id).textContent }));
  const drawn = new Map(); // node -> its element
  const view = { zoom: 0, search: "", hits: new Set(), width: 0 };

  root.classList.add("live");
  root.removeAttribute("viewBox");
  root.setAttribute("width", "100%");
  listen();
  readAddress();

  // --- The tree ---

  function place() {
    const path = [];
    const next = [0]; // where the next node of each depth begins
    for (let node = 0; node < size; node++) {
      while (path.length > depth[node]) end[path.pop()] = node;
      next.length = depth[node] + 1;
      left[node] = next[depth[node]];
      next[depth[node]] += ns[node];
      next.push(left[node]);
      parent[node] = path.length ? path[path.length - 1] : 0;
      path.push(node);
    }
  }

  function callers(node) {
    const found = [];
    for (let at = node; at !== 0; at = parent[at]) found.push(parent[at]);
    return found.reverse();
  }

  // The nodes of the view that are at least so wide, and what is narrower.
  function wideEnough(zoom, least) {
    const nodes = [];
    const rest = { frames: 0, ns: 0 };
    for (let node = zoom; node < end[zoom]; ) {
      if (node === zoom || ns[node] >= least) {
        nodes.push(node);
        node += 1;
      } else {
        rest.frames += end[node] - node;
        rest.ns += ns[node];
        node = end[node];
      }
    }
    return { nodes, rest };
  }

  // --- The picture ---

  function draw() {
    const { zoom } = view;
    view.width = root.getBoundingClientRect().width;
    const room = Math.max(view.width - 2 * SIDE, 1);
    let least = Math.max(ns[zoom] * LEAST_SHARE, 1);
    let { nodes, rest } = wideEnough(zoom, least);
    while (nodes.length > MOST_FRAMES) {
      least *= 2;
      ({ nodes, rest } = wideEnough(zoom, least));
    }
    const levels = 1 + nodes.reduce((most, node) => Math.max(most, depth[node]), 0);
    const top = drawHead();
    const scrolled = window.scrollY > 0;
    const fromBottom = root.getBoundingClientRect().height - window.scrollY;
    const height = top + levels * LEVEL + BOTTOM;

    const scale = ns[zoom] ? room / ns[zoom] : 0;
    const fragment = document.createDocumentFragment();
    drawn.clear();
    const add = (node, x, width) => {
      const y = top + (levels - 1 - depth[node]) * LEVEL;
      const element = drawFrame(node, x, y, width);
      drawn.set(node, element);
      fragment.append(element);
      return element;
    };
    for (const node of callers(zoom)) add(node, SIDE, room).classList.add("below");
    for (const node of nodes) {
      const whole = node === zoom;
      add(node, SIDE + (left[node] - left[zoom]) * scale, whole ? room : ns[node] * scale);
    }
    graph.replaceChildren(fragment);
    drawn.get(zoom).setAttribute("tabindex", "0");

    root.setAttribute("height", height);
    const text = byId("rest");
    text.setAttribute("y", height - 15);
    text.textContent = restText(rest);
    shorten(text, text.textContent, room);
    // Who has gone down to the callers stays there.
    if (scrolled) window.scrollTo(0, height - fromBottom);
    pinHead();
    showDetails(zoom);
  }

  function drawFrame(node, x, y, width) {
    const name = data.names[frame[node]];
    const group = make("g", { class: "frame", tabindex: "-1", role: "button", "data-node": node });
    if (view.hits.has(frame[node])) group.classList.add("hit");
    const title = make("title", {});
    title.textContent = `${name}\n${numbers(node)}`;
    const box = { x: x.toFixed(2), y, width: width.toFixed(2), height: LEVEL };
    group.append(title, make("rect", { class: data.classes[frame[node]], ...box }));
    const label = cut(name, Math.floor((width - 2 * LABEL_SIDE) / COLUMN));
    if (label) {
      const text = make("text", { x: (x + LABEL_SIDE).toFixed(2), y: y + 13 });
      text.textContent = label;
      if (!isAscii(label)) {
        text.setAttribute("textLength", (columns(label) * COLUMN).toFixed(1));
        text.setAttribute("lengthAdjust", "spacingAndGlyphs");
      }
      group.append(text);
    }
    return group;
  }

  // Everything above the frames, to the window's width; returns where it ends.
  function drawHead() {
    const room = Math.max(view.width - 2 * SIDE, 1);
    const narrow = view.width < NARROW;
    const toolsWidth = narrow ? room : TOOLS_WIDTH;
    const beside = narrow ? room : room - toolsWidth - SIDE;
    for (const { line, text } of titles) shorten(line, text, beside);
    const box = { x: view.width - SIDE - toolsWidth, y: narrow ? 68 : 16, width: toolsWidth };
    set(tools.box, { ...box, height: 30 });
    let x = SIDE;
    let y = narrow ? 112 : 74;
    for (const item of byId("legend").children) {
      const width = item.getBBox().width;
      if (x > SIDE && x + width > view.width - SIDE) {
        x = SIDE;
        y += 20;
      }
      item.setAttribute("transform", `translate(${x.toFixed(1)} ${y})`);
      x += width + 22;
    }
    byId("details").setAttribute("y", y + 34);
    set(byId("cover"), { style: `height: ${y + 42}px` });
    return y + 48;
  }

  // The head stays in sight of a picture that is higher than the window.
  function pinHead() {
    head.setAttribute("transform", `translate(0 ${Math.max(window.scrollY, 0)})`);
  }

  function showDetails(node) {
    const text = `${numbers(node)}: ${data.names[frame[node]]}`;
    shorten(byId("details"), text, view.width - 2 * SIDE);
  }

  // --- Words ---

  function numbers(node) {
    const often = times[node] === 1 ? "once" : `${thousands(times[node])} times`;
    return `blocked ${duration(ns[node])}, ${percent(ns[node], all)} of all, ${often}`;
  }

  function restText(rest) {
    if (size === 1) return "Nothing was blocked.";
    const line = (where, frames, time, hint) =>
      frames === 0
        ? ""
        : `${where}: ${thousands(frames)} narrow frame${frames === 1 ? "" : "s"}, in ` +
          `${percent(time, all)} of the time${hint}.`;
    const lines = [
      line("Not drawn", rest.frames, rest.ns, "; zoom in to see them"),
      line("Not in this file", leftOut[0], leftOut[1], ""),
    ];
    return lines.filter(Boolean).join(" ");
  }

  function thousands(number) {
    return number.toLocaleString("en-US");
  }

  function percent(part, whole) {
    const share = whole ? part / whole : 0;
    if (share === 0) return "0%";
    if (share >= 0.9995 && share < 1) return ">99.9%";
    return share < 0.0005 ? "<0.1%" : `${(share * 100).toFixed(1)}%`;
  }

  function duration(time) {
    const threeDigits = (value) => value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
    const two = (value) => String(value).padStart(2, "0");
    if (time < 1e3) return `${time}ns`;
    if (time < 999500) return `${threeDigits(time / 1e3)}µs`;
    if (time < 999.5e6) return `${threeDigits(time / 1e6)}ms`;
    if (time < 59.95e9) return `${threeDigits(time / 1e9)}s`;
    const seconds = Math.round(time / 1e9);
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return `${minutes}m${two(seconds % 60)}s`;
    const hours = Math.floor(minutes / 60);
    if (hours < 24) return `${hours}h${two(minutes % 60)}m`;
    const days = Math.floor(hours / 24);
    return days < 100 ? `${days}d${two(hours % 24)}h` : `${days}d`;
  }

  function isAscii(text) {
    return !/[^\x20-\x7e]/.test(text.replaceAll("…", ""));
  }

  // Nearly all characters from the Hangul on are as wide as two.
  function columns(text) {
    let sum = 0;
    for (const char of text) sum += char >= "\u1100" && char !== "…" ? 2 : 1;
    return sum;
  }

  function fit(text, room) {
    if (columns(text) <= room) return text;
    let kept = "";
    let rest = room - 1;
    for (const char of text) {
      rest -= columns(char);
      if (rest < 0) break;
      kept += char;
    }
    return `${kept}…`;
  }

  // A name cut to a number of columns; of a function's module less is kept than of itself.
  function cut(text, room) {
    if (room < LEAST_COLUMNS) return "";
    if (columns(text) <= room) return text;
    const mark = text.indexOf("`");
    const name = text.slice(mark + 1);
    if (mark < 0 || !name) return fit(text, room);
    const rest = room - columns(name) - 1;
    return rest < LEAST_MODULE ? fit(name, room) : `${fit(text.slice(0, mark), rest)}\`${name}`;
  }

  // Put text into a line, cut to a width in pixels, in any font.
  function shorten(line, text, width) {
    line.textContent = text;
    let chars = Array.from(text);
    for (let wide = line.getComputedTextLength(); wide > width && chars.length > 0; ) {
      const keep = Math.min(chars.length - 1, Math.floor((chars.length * width) / wide));
      chars = chars.slice(0, keep);
      line.textContent = `${chars.join("")}…`;
      wide = line.getComputedTextLength();
    }
  }

  // --- Search ---

  function search(text) {
    view.search = text;
    view.hits = new Set();
    tools.search.setAttribute("aria-invalid", "false");
    tools.said.textContent = "";
    root.classList.remove("searching");
    if (!text) return;
    let wanted;
    try {
      wanted = new RegExp(text, "iu");
    } catch {
      tools.search.setAttribute("aria-invalid", "true");
      tools.said.textContent = "not a regular expression";
      return;
    }
    data.names.forEach((name, number) => {
      if (wanted.test(name)) view.hits.add(number);
    });
    root.classList.add("searching");
    let time = 0;
    for (let node = view.zoom; node < end[view.zoom]; ) {
      const hit = view.hits.has(frame[node]);
      if (hit) time += ns[node]; // with all that is within
      node = hit ? end[node] : node + 1;
    }
    const of = view.zoom ? "of this" : "of all";
    tools.said.textContent = `matched ${percent(time, ns[view.zoom])} ${of}, ${duration(time)}`;
  }

  // --- The address ---

  function readAddress() {
    const words = new URLSearchParams(location.hash.slice(1));
    const zoom = Number(words.get("zoom") ?? 0);
    view.zoom = Number.isInteger(zoom) && zoom >= 0 && zoom < size ? zoom : 0;
    search(words.get("search") ?? "");
    if (document.activeElement !== tools.search) tools.search.value = view.search;
    tools.reset.disabled = view.zoom === 0;
    const focused = graph.contains(document.activeElement);
    draw();
    if (focused) drawn.get(view.zoom).focus({ preventScroll: true });
  }

  function address(zoom, text) {
    const words = new URLSearchParams({ zoom });
    if (text) words.set("search", text);
    return `#${words}`;
  }

  function zoomTo(node) {
    if (node !== view.zoom) location.hash = address(node, view.search);
  }

  // Typing is no step to go back to.
  function searchFor(text) {
    if (text !== view.search) location.replace(address(view.zoom, text));
  }

  // --- What people do ---

  function nodeOf(event) {
    const element = event.target.closest?.(".frame");
    return element ? Number(element.getAttribute("data-node")) : null;
  }

  function listen() {
    window.addEventListener("hashchange", readAddress);
    window.addEventListener("resize", () => {
      if (root.getBoundingClientRect().width !== view.width) draw();
    });
    window.addEventListener("scroll", pinHead);
    window.addEventListener("keydown", pressed);
    graph.addEventListener("click", (event) => {
      const node = nodeOf(event);
      if (node !== null) zoomTo(node);
    });
    for (const kind of ["pointerover", "focusin"]) {
      graph.addEventListener(kind, (event) => showDetails(nodeOf(event) ?? view.zoom));
    }
    graph.addEventListener("pointerleave", () => showDetails(view.zoom));
    tools.search.addEventListener("input", () => searchFor(tools.search.value));
    tools.reset.addEventListener("click", () => zoomTo(0));
  }

  function pressed(event) {
    const typing = event.target === tools.search;
    const find = event.key === "f" && (event.ctrlKey || event.metaKey);
    // While the field has the focus, Ctrl-F is the browser's own.
    if (!typing && (find || event.key === "/")) {
      tools.search.focus();
      tools.search.select();
    } else if (event.key === "Escape") {
      if (typing || view.zoom === 0) {
        tools.search.value = "";
        tools.search.blur();
        searchFor("");
      } else {
        zoomTo(0);
      }
    } else if (typing || event.ctrlKey || event.metaKey || event.altKey || !pressedOnFrame(event)) {
      return;
    }
    event.preventDefault();
  }

  function pressedOnFrame(event) {
    const node = nodeOf(event);
    if (node === null) return false;
    if (event.key === "Enter" || event.key === " ") {
      zoomTo(node);
      return true;
    }
    const inner = (of) => node < of && parent[of] === node;
    const siblings = [...drawn.keys()].filter((at) => at && parent[at] === parent[node]);
    const at = siblings.indexOf(node);
    const to = {
      ArrowUp: [...drawn.keys()].find(inner), // the first one has the longest time
      ArrowDown: parent[node],
      ArrowLeft: siblings[at - 1],
      ArrowRight: siblings[at + 1],
    };
    if (!(event.key in to)) return false;
    drawn.get(to[event.key])?.focus();
    return true;
  }

  // --- Elements ---

  function makeTools() {
    const box = make("foreignObject", {});
    const element = (name, words) => set(document.createElementNS(HTML, name), words);
    const row = element("div", { id: "tools" });
    const said = element("output", { id: "said", "aria-live": "polite" });
    const hint = { placeholder: "Search: a regular expression", "aria-label": "Search" };
    const keys = { title: "Ctrl-F or /", spellcheck: "false", autocomplete: "off" };
    const input = element("input", { id: "search", type: "search", ...hint, ...keys });
    const reset = element("button", { id: "reset", type: "button", title: "Esc" });
    reset.textContent = "Reset zoom";
    row.append(said, input, reset);
    box.append(row);
    head.append(box);
    return { box, said, search: input, reset };
  }

  function make(name, words) {
    return set(document.createElementNS(SVG, name), words);
  }

  function set(element, words) {
    for (const [key, value] of Object.entries(words)) element.setAttribute(key, value);
    return element;
  }

  function byId(id) {
    return document.getElementById(id);
  }
})();
