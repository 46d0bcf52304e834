// What the phone does by itself: it follows taps, sends forms, shows the keyboard, and says when all has come to rest.
"use strict";

const phone = (() => {
  const $ = (id) => document.getElementById(id);
  let pending = 0; // requests under way
  let lifts = 0; // fingers lifted
  let handled = 0; // lifted fingers whose tap, if it was one, went through
  let fresh = false; // the shown page was loaded during this action
  let start = null; // where the finger came down
  let waiters = [];
  let broken = ""; // what the server said instead of a screen

  const page = () => $("screen").firstElementChild;

  function wake() {
    waiters = waiters.filter((check) => !check());
  }

  // ---- screens ----

  async function load(url, fields) {
    if (pending) return; // one thing at a time, as on a slow phone
    pending++;
    try {
      const answer = await fetch(url, fields ? { method: "POST", body: new URLSearchParams(fields) } : undefined);
      if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
      show(await answer.text());
    } catch (error) {
      broken = String(error);
    } finally {
      pending--;
      wake();
    }
  }

  const go = (address) => load("/p" + address);

  function show(html) {
    if (!html) return;
    if (document.activeElement) document.activeElement.blur();
    $("screen").innerHTML = html;
    fresh = true;
    dress();
    const field = page().querySelector("[data-focus]");
    if (field && !blank()) field.focus();
  }

  function dress() {
    document.body.dataset.status = page().dataset.status;
    document.body.classList.toggle("dark", page().classList.contains("dark"));
    page().classList.toggle("blank", blank() > 0);
  }

  const blank = () => Number(page().dataset.blank);

  // A blank page waits for actions, not for time; this is called at the end of each.
  async function age() {
    const old = !fresh;
    fresh = false;
    if (!blank() || !old) return;
    page().dataset.blank = blank() - 1;
    if (blank()) return;
    await fetch("/shown", { method: "POST" });
    dress();
    const field = page().querySelector("[data-focus]");
    if (field) field.focus();
  }

  // ---- taps ----

  document.addEventListener("click", (event) => {
    const key = event.target.closest("#keys b");
    if (key) press(key.dataset.key);
    const target = event.target.closest("[data-go],[data-do],[data-nav],[data-again],[data-dismiss],[data-lure],[data-checked],[data-value]");
    if (!target) return;
    const data = target.dataset;
    if ("dismiss" in data) target.closest(".veil,.cookies").remove();
    else if ("lure" in data) lure(target.closest(".veil"));
    else if ("checked" in data) load("/checked", { site: data.checked });
    else if ("again" in data) load("/again", {});
    else if ("value" in data) pick(target);
    else if ("nav" in data) data.nav === "back" ? back() : home();
    else if ("do" in data) load(data.do, fields(data));
    else if ("go" in data) go(data.go);
  });

  const fields = (data) => Object.fromEntries(Object.entries(data).filter(([key]) => key !== "do" && key !== "k"));

  // The button that a pop-up wants you to press leads away from what you were doing.
  function lure(veil) {
    const site = page().dataset.view.split("/")[0];
    veil.remove();
    if (site.includes(".")) go("/web/" + site + "/offer");
    else go("/settings/Battery");
  }

  function pick(chosen) {
    const group = chosen.closest("[data-pick]");
    for (const one of group.children) one.classList.toggle("on", one === chosen);
    group.closest("form").elements[group.dataset.pick].value = chosen.dataset.value;
  }

  document.addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    const sent = Object.fromEntries(new FormData(form));
    document.activeElement.blur();
    load(form.dataset.form, sent);
  });

  document.addEventListener("input", (event) => {
    const list = event.target.dataset.filter && $(event.target.dataset.filter);
    if (!list) return;
    const asked = event.target.value.trim().toLowerCase();
    for (const entry of list.children) entry.hidden = !entry.textContent.toLowerCase().includes(asked);
  });

  // ---- fingers ----

  // All of these are passive, so the browser never waits for them and never gives a touch up under load.
  const passive = { passive: true };

  document.addEventListener("touchstart", (event) => {
    const touch = event.touches[0];
    start = { x: touch.clientX, y: touch.clientY, target: event.target, time: event.timeStamp };
  }, passive);

  function lift(event) {
    lifts++;
    const touch = event.changedTouches[0];
    const across = touch.clientX - start.x, down = touch.clientY - start.y;
    const done = () => { handled = lifts; wake(); };
    if (Math.hypot(across, down) < 12) {
      // A click follows, on a busy machine late; only a touch that was too long for one is not waited for.
      const late = setTimeout(done, event.timeStamp - start.time < 300 ? 3000 : 400);
      document.addEventListener("click", () => { clearTimeout(late); setTimeout(done); }, { once: true });
      return;
    }
    const up = start.target.closest("[data-up]");
    if (up && down < -80) go(up.dataset.up);
    else if (page().classList.contains("drawer") && down > 120 && !page().querySelector(".sheet").scrollTop) back();
    frames(2).then(done);
  }

  document.addEventListener("touchend", lift, passive);
  document.addEventListener("touchcancel", lift, passive);

  async function frames(count) {
    while (count--) await new Promise(requestAnimationFrame);
  }

  // ---- keyboard ----

  const typing = () => {
    const field = document.activeElement;
    return field && (field.tagName === "INPUT" || field.tagName === "TEXTAREA") ? field : null;
  };

  // Keys are clicked; the field keeps the focus, since the mouse event that would take it is stopped.
  document.addEventListener("mousedown", (event) => {
    if (event.target.closest("#keys")) event.preventDefault();
  });

  document.addEventListener("focusin", () => {
    if (!typing()) return;
    $("keys").hidden = false;
    if (typing().name === "q" && typing().value) typing().select();
  });
  document.addEventListener("focusout", () => { $("keys").hidden = true; });

  function press(key) {
    const field = typing();
    if (!field || !key) return;
    if (key === "enter") enter();
    else if (key === "del") document.execCommand("delete");
    else document.execCommand("insertText", false, key);
  }

  function enter() {
    const field = typing();
    if (!field) return;
    if (field.form && field.name === "q") field.form.requestSubmit();
    else if (field.form) {
      const all = [...field.form.querySelectorAll("input:not([type=hidden]), textarea")];
      const next = all[all.indexOf(field) + 1];
      if (next) next.focus(); else field.blur();
    } else field.blur();
  }

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    enter();
  });

  // ---- keys of the phone ----

  function back() {
    const veil = page().querySelector(".veil");
    if (typing()) document.activeElement.blur();
    else if (veil && !page().classList.contains("web")) veil.remove();
    else load("/back", {});
  }

  const home = () => load("/home", {});

  // ---- for the driver ----

  // Resolves when `count` fingers were lifted since the beginning, what they did is done, and nothing is under way.
  async function rest(count) {
    await new Promise((resolve) => {
      const late = setTimeout(() => { lifts = handled = count; wake(); }, 5000); // a finger that never arrived
      const check = () => {
        if (handled < count || pending) return false;
        clearTimeout(late);
        resolve();
        return true;
      };
      if (!check()) waiters.push(check);
    });
    if (broken) throw new Error(broken);
    await age();
    return typing() ? 1 : 0;
  }

  // Whatever can be touched, with its key, and whether something lies over its middle.
  function boxes() {
    const found = [];
    for (const one of document.querySelectorAll("[data-k]")) {
      const box = one.getBoundingClientRect();
      const x = box.x + box.width / 2, y = box.y + box.height / 2;
      if (!box.width || !box.height || x < 0 || x >= innerWidth) continue;
      const top = y >= 0 && y < innerHeight ? document.elementFromPoint(x, y) : null;
      const clear = one.contains(top), on = one.classList.contains("on");
      const own = { value: one.value || "", focused: one === document.activeElement, on };
      found.push({ key: one.dataset.k, x: box.x, y: box.y, width: box.width, height: box.height, clear, ...own });
    }
    return { view: page().dataset.view, query: page().dataset.query, blank: blank(), typing: Boolean(typing()), boxes: found };
  }

  dress();
  return { rest, boxes, back, home, go };
})();
