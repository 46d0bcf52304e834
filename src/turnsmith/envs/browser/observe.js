// Runs in every document in a world of its own (the page's scripts and this one share the document and nothing else, so
// nothing that a page overrides is felt here) and leaves one object there, __turnsmith__, with which the driver looks
// (observe), checks an aim (aim), and waits (quiet, change). Nothing here changes what the page does, except: a link with
// another target comes to the same tab, and finite CSS animations are cut short while waiting.
(() => {
  if (globalThis.__turnsmith__) return;
  const now = () => performance.now();
  const well = (text) => String(text ?? "").toWellFormed(); // half an emoji is no character
  const say = (text) => well(text).replace(/\s+/g, " ").trim();
  const cut = (text, length) => (text.length > length ? well(text.slice(0, length - 1).replace(/[\ud800-\udbff]$/, "")) + "…" : text);

  // ---- which elements get a mark -------------------------------------------------------------------------------

  const TAGS = new Set(["INPUT", "TEXTAREA", "SELECT", "BUTTON", "A", "IFRAME", "VIDEO", "LI", "TD", "OPTION"]);
  const BUTTONS = 'button, a, input[type="button"], div[role="button"]';
  const MIN_AREA = 20; // square pixels
  const PATIENCE = 3000; // ms of looking for elements: of a page with a hundred thousand, the first in order are shown

  let marks = []; // elements, by mark
  let complete = true; // whether there was time to look at every element
  let overlay = null;

  // Whether a click at a point meets this element or something in it, in whichever shadow tree it is.
  function isHit(element, x, y) {
    const root = element.getRootNode();
    const top = root.elementFromPoint?.(x, y);
    return Boolean(top) && (top === element || element.contains(top));
  }

  // The client rects of an element whose centre hit-tests to it or to a descendant, largest first.
  function hitRects(element) {
    const hit = [];
    for (const rect of element.getClientRects()) {
      if (rect.right <= 0 || rect.bottom <= 0 || rect.left >= innerWidth || rect.top >= innerHeight) continue;
      const x = rect.left + rect.width / 2;
      const y = rect.top + rect.height / 2;
      if (!isHit(element, x, y)) continue;
      const left = Math.max(0, rect.left);
      const upper = Math.max(0, rect.top);
      const width = Math.min(innerWidth, rect.right) - left;
      const height = Math.min(innerHeight, rect.bottom) - upper;
      hit.push({ x, y, left, top: upper, width, height, area: width * height });
    }
    return hit;
  }

  // The elements to which the page gave a click handler: only its own world knows them (page.js says so by events).
  function clickables() {
    const found = new Set();
    const hear = (event) => found.add(event.target);
    document.addEventListener("turnsmith:clickable", hear, true);
    document.dispatchEvent(new Event("turnsmith:ask"));
    document.removeEventListener("turnsmith:clickable", hear, true);
    return found;
  }

  function markable() {
    const items = [];
    const handled = clickables();
    const start = now();
    let seen = 0;
    complete = true;
    for (const element of document.querySelectorAll("*")) {
      if (++seen % 64 === 0 && now() - start > PATIENCE) {
        complete = false;
        break;
      }
      const wanted =
        TAGS.has(element.tagName) || handled.has(element) || getComputedStyle(element).cursor === "pointer";
      if (!wanted) continue;
      const rects = hitRects(element);
      if (rects.reduce((sum, rect) => sum + rect.area, 0) >= MIN_AREA) items.push({ element, rects });
    }
    const kept = new Set(items.map((item) => item.element));
    const inButton = (element) => {
      for (let above = element.parentElement; above; above = above.parentElement) {
        if (kept.has(above) && above.matches(BUTTONS)) return true;
      }
      return false;
    };
    const outer = items.filter((item) => !inButton(item.element));
    const around = new Set(); // every ancestor of an item
    for (const { element } of outer) {
      for (let above = element.parentElement; above && !around.has(above); above = above.parentElement) around.add(above);
    }
    return outer.filter((item) => !around.has(item.element));
  }

  // ---- what is said about them ---------------------------------------------------------------------------------

  const FIELDS = new Set(["INPUT", "TEXTAREA", "SELECT"]);
  const PUSH = { submit: "Submit", reset: "Reset", button: "" };
  const visibleText = (element) => say(element.innerText ?? element.textContent) || say(element.shadowRoot?.textContent);

  // What each option of a select is called: its label, and of several with one label all but the first with a number.
  function optionNames(select) {
    const labels = [...select.options].map((option) => say(option.label));
    const taken = new Set(labels);
    const count = new Map();
    return labels.map((label) => {
      let number = (count.get(label) ?? 0) + 1;
      let name = number === 1 ? label : `${label} (${number})`;
      while (number > 1 && taken.has(name)) name = `${label} (${++number})`;
      count.set(label, number);
      taken.add(name);
      return name;
    });
  }

  function shownText(element) {
    if (element.tagName === "SELECT") {
      const names = optionNames(element);
      return [...element.selectedOptions].map((option) => names[option.index]).join(", ");
    }
    if (element.tagName === "TEXTAREA") return cut(say(element.value), 199);
    if (element.tagName !== "INPUT") return visibleText(element);
    if (element.type in PUSH) return say(element.value || PUSH[element.type]);
    if (element.type === "checkbox" || element.type === "radio") return element.checked ? "checked" : "unchecked";
    if (element.type === "password") return "•".repeat(Math.min(element.value.length, 199));
    if (element.type === "image") return say(element.alt);
    return cut(say(element.value), 199);
  }

  function accessibleName(element, text) {
    const label = say(element.getAttribute("aria-label"));
    if (label) return label;
    const ids = say(element.getAttribute("aria-labelledby"));
    if (ids) {
      const named = say(ids.split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" "));
      if (named) return named;
    }
    if (FIELDS.has(element.tagName)) {
      const labels = [...(element.labels ?? [])].map((one) => labelText(one, element)).filter(Boolean);
      if (labels.length) return labels.join(" ");
      if (say(element.placeholder)) return say(element.placeholder);
    }
    if (say(element.title)) return say(element.title);
    if (text) return "";
    const picture = element.querySelector("img[alt], svg title, [aria-label]");
    return picture ? say(picture.getAttribute("alt") || picture.getAttribute("aria-label") || picture.textContent) : "";
  }

  // The text of a <label>, without that of the field inside it (a select's options are not its name).
  function labelText(label, field) {
    if (!label.contains(field)) return visibleText(label);
    const parts = [];
    const walk = (node) => {
      if (node === field) return;
      if (node.nodeType === Node.TEXT_NODE) parts.push(node.data);
      else node.childNodes.forEach(walk);
    };
    walk(label);
    return say(parts.join(" "));
  }

  // Itself, or by the fieldset, the group of options or the select that it is in.
  const isDisabled = (element) =>
    element.matches(":disabled") || (element.tagName === "OPTION" && Boolean(element.closest("select:disabled")));

  function describe(item, mark) {
    const { element } = item;
    const rect = item.rects.reduce((best, one) => (one.area > best.area ? one : best));
    const text = shownText(element);
    let aria = accessibleName(element, text);
    const row = {
      mark,
      tag: element.tagName.toLowerCase(),
      text: cut(text, 1000),
      aria: "",
      box: [rect.left, rect.top, rect.width, rect.height].map(Math.round),
    };
    if (FIELDS.has(element.tagName)) {
      if (element.tagName === "INPUT") row.type = element.type;
      if (element.type === "checkbox" || element.type === "radio") row.checked = element.checked;
      else if (element.tagName === "SELECT") row.options = optionNames(element);
      else if (element.type !== "file" && element.type !== "password") row.value = well(element.value);
      if (element.placeholder) row.placeholder = say(element.placeholder);
    }
    if (row.options) aria = aria ? `${aria}: ${row.options.join(", ")}` : row.options.join(", ");
    if (isDisabled(element)) row.disabled = true;
    row.aria = aria === text ? "" : cut(aria, 199);
    return row;
  }

  // Look: number the elements, remember them by mark, and (for a marked screenshot) put up the overlay.
  // ---- what the page says besides ------------------------------------------------------------------------------

  const MUTE = new Set(["SCRIPT", "STYLE", "NOSCRIPT", "TEMPLATE", "TEXTAREA", "OPTION"]);
  const MOST_TEXT = 8000; // characters

  // The text in view, a line a block, in the order of the document; without blocks that say nothing but what marked
  // elements say.
  function textInView() {
    const within = new Set(marks);
    const under = (node, test) => {
      for (let above = node.parentElement; above; above = above.parentElement) if (test(above)) return true;
      return false;
    };
    const block = (node) => {
      let above = node.parentElement;
      while (above.parentElement && getComputedStyle(above).display.startsWith("inline")) above = above.parentElement;
      return above;
    };
    const inView = (node) => {
      const range = document.createRange();
      range.selectNodeContents(node);
      return [...range.getClientRects()].some(
        (box) => box.width > 0 && box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth,
      );
    };
    const lines = [];
    const walker = document.createTreeWalker(document.body ?? document.documentElement, NodeFilter.SHOW_TEXT);
    const start = now();
    let of = null;
    let length = 0;
    while (walker.nextNode() && length < MOST_TEXT && now() - start < PATIENCE) {
      const node = walker.currentNode;
      if (!/\S/.test(node.data) || under(node, (above) => MUTE.has(above.tagName))) continue;
      if (!node.parentElement.checkVisibility?.({ visibilityProperty: true }) || !inView(node)) continue;
      const holder = block(node);
      if (holder !== of) lines.push({ said: "", own: false });
      const line = lines[lines.length - 1];
      line.said += node.data;
      line.own ||= !under(node, (above) => within.has(above));
      of = holder;
      length += node.data.length;
    }
    return cut(lines.filter((line) => line.own).map((line) => say(line.said)).join("\n"), MOST_TEXT);
  }

  function observe(withOverlay, withText) {
    unmark();
    const items = markable();
    marks = items.map((item) => item.element);
    const page = document.scrollingElement ?? document.documentElement;
    const text = withText ? textInView() : "";
    if (withOverlay) putUp(items);
    return {
      url: well(location.href),
      title: well(document.title),
      scroll: page ? [Math.round(page.scrollTop), Math.max(0, page.scrollHeight - innerHeight)] : [0, 0],
      viewport: [innerWidth, innerHeight],
      elements: items.map(describe),
      complete,
      text,
    };
  }

  // ---- the overlay: in the top layer, deaf to the mouse, out of reach of the page's styles ------------------------

  const html = (tag) => document.createElementNS("http://www.w3.org/1999/xhtml", tag); // XML documents make plain elements

  function putUp(items) {
    overlay = html("turnsmith-marks");
    overlay.style.cssText =
      "all: initial !important; position: fixed !important; inset: 0 !important; width: 100vw !important;" +
      "height: 100vh !important; margin: 0 !important; padding: 0 !important; border: 0 !important;" +
      "background: none !important; overflow: hidden !important; pointer-events: none !important;" +
      "z-index: 2147483647 !important;";
    const shadow = overlay.attachShadow({ mode: "closed" });
    const add = (parent, css, text) => {
      const element = html("div");
      element.style.cssText = css;
      if (text !== undefined) element.textContent = text;
      parent.append(element);
      return element;
    };
    items.forEach((item, mark) => {
      for (const { left, top, width, height } of item.rects) {
        const frame = add(
          shadow,
          `position: fixed; left: ${left}px; top: ${top}px; width: ${width}px; height: ${height}px;` +
            "outline: 2px dashed #000; box-sizing: border-box; pointer-events: none;",
        );
        add(
          frame,
          `position: absolute; top: ${Math.max(-19, -top)}px; left: ${Math.min(Math.floor(width / 5), 2)}px;` +
            "background: #000; color: #fff; padding: 2px 4px; font: 12px/15px sans-serif; border-radius: 2px;",
          String(mark),
        );
      }
    });
    (document.documentElement ?? document).append(overlay);
    try {
      overlay.popover = "manual"; // the top layer: above the page's own modal dialogs
      overlay.showPopover();
    } catch {
      // older browsers show it below modal dialogs
    }
  }

  function unmark() {
    overlay?.remove();
    overlay = null;
  }

  // ---- is the aim still good? -----------------------------------------------------------------------------------

  const TYPED = new Set(["text", "search", "password", "email", "tel", "url", "number", ""]);
  const SET = new Set(["date", "time", "month", "week", "datetime-local", "color", "range"]); // keys depend on locale

  function kindOf(element) {
    if (element.tagName === "SELECT") return "select";
    if (element.tagName === "OPTION") return "option";
    if (element.tagName === "TEXTAREA" || element.isContentEditable) return "text";
    if (element.tagName !== "INPUT") return "other";
    if (element.type === "file") return "file";
    return TYPED.has(element.type) ? "text" : SET.has(element.type) ? "set" : "other";
  }

  // Where to click this element (a mark, or an element that the driver resolved), or why not.
  function aim(target, mayScroll) {
    const element = typeof target === "number" ? marks[target] : target;
    if (!element || !element.isConnected) return { trouble: "gone" };
    const select = element.tagName === "OPTION" ? element.closest("select") : null;
    let rects = hitRects(element);
    if (!rects.length && mayScroll && !(select && select.size <= 1 && !select.multiple)) {
      element.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
      rects = hitRects(element);
    }
    const row = { kind: kindOf(element), tag: element.tagName.toLowerCase(), type: element.type ?? "" };
    if (isDisabled(element)) return { ...row, trouble: "disabled" };
    if (row.kind === "select") row.options = optionNames(element);
    if (element.type === "range") row.range = [element.min || "0", element.max || "100"];
    if (select && !rects.length) return { ...row, kind: "choice", option: say(element.label) };
    if (!rects.length) return { ...row, trouble: element.getClientRects().length ? "covered" : "gone" };
    const rect = rects.reduce((best, one) => (one.area > best.area ? one : best));
    row.readonly = Boolean(element.readOnly);
    row.point = [rect.x, rect.y];
    row.box = [rect.left, rect.top, rect.width, rect.height].map(Math.round);
    row.listbox = row.kind === "select" && (element.multiple || element.size > 1);
    stayInTab(element);
    watch();
    return row;
  }

  // What this element leads to opens in the same tab, unless it is meant for a frame of the page.
  function stayInTab(element) {
    const base = document.querySelector("base[target]")?.target ?? "";
    const leaves = (name) =>
      name && !/^_(self|parent|top)$/i.test(name) && !document.querySelector(`iframe[name="${CSS.escape(name)}"]`);
    const link = element.closest("a, area");
    if (link && leaves(link.target || base)) link.target = "_self";
    const form = element.form;
    if (form && leaves(form.target || base)) form.target = "_self";
    if (element.formTarget && leaves(element.formTarget)) element.formTarget = "_self";
  }

  // After the click that focuses a field: select what is in the focused field, so that typing replaces it.
  function take(target) {
    const element = typeof target === "number" ? marks[target] : target;
    if (!element?.isConnected) return false;
    let field = deepActive();
    if (!field || kindOf(field) !== "text") {
      element.focus();
      field = element;
    }
    if (field.select) field.select();
    else getSelection().selectAllChildren(field);
    return true;
  }

  function deepActive() {
    let active = document.activeElement;
    while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement;
    return active;
  }

  function changed(element) {
    element.dispatchEvent(new Event("input", { bubbles: true, composed: true }));
    element.dispatchEvent(new Event("change", { bubbles: true }));
  }

  // Choose an option of a select by its text: exact, then without case, then the only one that contains it.
  function choose(target, wanted) {
    let element = typeof target === "number" ? marks[target] : target;
    if (!element?.isConnected) return { trouble: "gone" };
    let option = null;
    if (element.tagName === "OPTION") {
      option = element;
      element = option.closest("select");
    } else {
      const names = optionNames(element);
      const fold = (text) => say(text).toLowerCase();
      const find = (options) => {
        const has = options.filter((one) => fold(names[one.index]).includes(fold(wanted)));
        return (
          options.find((one) => names[one.index] === say(wanted)) ??
          options.find((one) => fold(names[one.index]) === fold(wanted)) ??
          (has.length === 1 && fold(wanted) ? has[0] : null)
        );
      };
      const options = [...element.options];
      option = find(options.filter((one) => !isDisabled(one))) ?? find(options);
    }
    if (!option || !element) return { trouble: "no option" };
    if (isDisabled(option)) return { trouble: "disabled", option: say(option.label) };
    watch();
    if (!option.selected) {
      option.selected = true;
      changed(element);
    }
    return { option: say(option.label) };
  }

  // Whether a text is a value of this field. A range or a colour makes something of any text; a person could not.
  function means(element, value) {
    if (element.type === "color") return /^#[0-9a-f]{6}$/i.test(value);
    if (element.type !== "range") return true;
    const [low, high] = [Number(element.min || 0), Number(element.max || 100)];
    return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(value) && Number(value) >= low && Number(value) <= high;
  }

  // Set the value of a field that keys cannot fill alike everywhere (dates, colours, ranges).
  function put(target, value) {
    const element = typeof target === "number" ? marks[target] : target;
    if (!element?.isConnected) return { trouble: "gone" };
    const before = element.value;
    const setter = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
    value = value.trim();
    if (!means(element, value)) return { trouble: "bad value" };
    setter.call(element, value);
    if (element.value !== value && !(element.type === "range" || element.type === "color")) {
      setter.call(element, before);
      return { trouble: "bad value" };
    }
    watch();
    if (element.value !== before) changed(element);
    return {};
  }

  const scrolls = (element) =>
    element.scrollHeight > element.clientHeight + 1 && /auto|scroll|overlay/.test(getComputedStyle(element).overflowY);

  const above = (element) => element.assignedSlot ?? element.parentElement ?? element.getRootNode().host ?? null;

  // The box that scrolls in what lies over the page: a modal dialog, or a box that stays where it is and has the middle
  // of the window. Null where nothing does.
  function overPage() {
    let element = document.elementFromPoint(innerWidth / 2, innerHeight / 2);
    while (element?.shadowRoot) {
      const inner = element.shadowRoot.elementFromPoint(innerWidth / 2, innerHeight / 2);
      if (!inner || inner === element) break;
      element = inner;
    }
    let box = null;
    for (; element && element !== document.documentElement; element = above(element)) {
      if (!box && scrolls(element)) box = element;
      if (element.matches("dialog:modal") || getComputedStyle(element).position === "fixed") return box;
    }
    return null;
  }

  // Scroll two thirds of what is visible. Without a target what lies over the page scrolls, else the window, or, where
  // the page cannot, the largest scrollable box in view (single-page applications often scroll an inner box).
  function scroll(target, sign) {
    watch();
    let box = null;
    if (target === null) {
      const page = document.scrollingElement ?? document.documentElement;
      box = overPage();
      if (!box && page.scrollHeight > innerHeight + 1) {
        scrollBy({ top: (sign * innerHeight * 2) / 3, behavior: "instant" });
        return {};
      }
      let area = 0;
      for (const element of box ? [] : document.querySelectorAll("*")) {
        if (!scrolls(element)) continue;
        const rect = element.getBoundingClientRect();
        if (rect.width * rect.height > area) [box, area] = [element, rect.width * rect.height];
      }
    } else {
      box = typeof target === "number" ? marks[target] : target;
      if (!box?.isConnected) return { trouble: "gone" };
      while (box && !scrolls(box)) box = above(box);
      if (!box) return scroll(null, sign);
    }
    box?.scrollBy({ top: (sign * box.clientHeight * 2) / 3, behavior: "instant" });
    return {};
  }

  // ---- waiting ----------------------------------------------------------------------------------------------------

  let observer = null;
  let mutated = false;
  let inFlight = 0; // requests of fetch and XMLHttpRequest that began since `watch`
  let patient = true; // the document has not yet been given up on loading

  function watch() {
    inFlight = 0;
    open.clear();
    mutated = false;
    document.addEventListener("turnsmith:began", onBegan); // again and again: document.open() takes listeners away
    document.addEventListener("turnsmith:ended", onEnded);
    if (observer) return;
    observer = new MutationObserver(() => (mutated = true));
    observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  }

  function unwatch() {
    observer?.disconnect();
    observer = null;
  }

  // What page.js hears of the page's requests. Those that began before `watch` do not count.
  const open = new Set();

  function onBegan(event) {
    open.add(event.detail);
    inFlight += 1;
  }

  function onEnded(event) {
    if (open.delete(event.detail)) inFlight -= 1;
  }

  // One frame and what it queued; a page that paints no frames still moves on.
  const frame = () =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, 100);
      requestAnimationFrame(() => {
        clearTimeout(timer);
        setTimeout(resolve, 0);
      });
    });

  // Finite animations jump to their end, so that what is looked at is what stays.
  function finishAnimations() {
    for (const animation of document.getAnimations?.() ?? []) {
      const end = animation.effect?.getComputedTiming().endTime;
      if (animation.playState === "running" && Number.isFinite(end)) {
        try {
          animation.finish();
        } catch {
          // an animation without an end cannot be finished
        }
      }
    }
  }

  // Wait until the document is loaded, no request of the page's scripts is in flight and a frame went by in which
  // nothing changed. `patience` bounds (in ms) the wait for loading and requests, `restless` that for a page that
  // never stops changing.
  async function quiet(patience, restless) {
    const start = now();
    if (!observer) watch();
    if (patient && document.readyState !== "complete") {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, patience);
        addEventListener("load", () => (clearTimeout(timer), resolve()), { once: true });
      });
    }
    patient = false;
    for (;;) {
      finishAnimations();
      mutated = false;
      await frame();
      const waited = now() - start;
      if (inFlight > 0 ? waited >= patience : !mutated || waited >= restless) break;
    }
    unwatch();
  }

  // Wait until the page changes by itself, at most `patience` ms.
  function change(patience) {
    return new Promise((resolve) => {
      const seen = new MutationObserver(done);
      const timer = setTimeout(done, patience);
      function done() {
        seen.disconnect();
        clearTimeout(timer);
        resolve();
      }
      seen.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    });
  }

  const element = (mark) => marks[mark];

  const api = Object.freeze({ observe, unmark, element, aim, take, choose, put, scroll, quiet, change });
  globalThis.__turnsmith__ = api;
})();
