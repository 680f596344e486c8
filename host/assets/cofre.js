// What the pages do beyond links and forms: they stay fresh, follow a task, copy texts and ask before what cannot be undone.
// All of it can go without this file.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const say = (text) => {
    const live = document.getElementById("live");
    if (live) live.textContent = text;
  };

  // Marks what works only with this script, below `root`.
  const prepare = (root) => {
    for (const button of all("[data-copy]", root)) button.hidden = false;
    for (const field of all("input[data-equals]", root)) match(field);
    for (const log of all("[data-log]", root)) log.scrollTop = log.scrollHeight;
  };

  // A button that may be pressed only once the name is typed.
  const match = (field) => {
    const button = field.form && field.form.querySelector("[data-armed]");
    if (button) button.disabled = field.value.trim() !== field.dataset.equals;
  };

  const copy = async (button) => {
    const source = button.parentElement.querySelector("code, output");
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    try {
      await navigator.clipboard.writeText(source.textContent);
      const before = [...button.childNodes];
      button.textContent = document.body.dataset.copied;
      say(document.body.dataset.copied);
      setTimeout(() => button.replaceChildren(...before), 2000);
    } catch {
      // Without a secure connection browsers do not copy; the text stays selected.
    }
  };

  // Puts a newer state of `part` in its place, and keeps what the reader had opened or focused.
  const busy = new Set();
  const renew = async (part) => {
    const { id } = part;
    const typing = part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
    if (!id || busy.has(id) || typing) return;
    busy.add(id);
    try {
      const address = new URL(part.dataset.refresh, location);
      if (address.pathname === location.pathname) address.search = location.search;
      // The header says that nobody is at the keyboard, so that it does not keep a session from ending.
      const answer = await fetch(address, { credentials: "same-origin", headers: { Accept: "text/html", "X-Refresh": "1" } });
      if (answer.redirected || answer.status === 401) return location.assign(location.pathname + location.search);
      if (!answer.ok) throw new Error(answer.status);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
      const old = document.getElementById(id);
      if (!fresh || !old) return;
      // What is over is shown whole: also what is shown only once, which no part of a page has.
      if (old.dataset.events && !fresh.dataset.events) return location.reload();
      const stops = "a, button, summary, [tabindex]";
      const focused = all(stops, old).indexOf(document.activeElement);
      all("details", old).forEach((details, index) => {
        const twin = all("details", fresh)[index];
        if (twin) twin.open = details.open;
      });
      old.replaceWith(fresh);
      prepare(fresh);
      if (focused >= 0) all(stops, fresh)[focused]?.focus({ preventScroll: true });
      if (fresh.dataset.say && fresh.dataset.say !== old.dataset.say) say(fresh.dataset.say);
      document.body.classList.remove("lost");
    } catch {
      if (!document.body.classList.contains("lost")) say(document.body.dataset.lost);
      document.body.classList.add("lost");
    } finally {
      busy.delete(id);
    }
  };

  const keepFresh = (id, seconds) => {
    setInterval(() => {
      const part = document.getElementById(id);
      if (part && part.dataset.every && !document.hidden) renew(part);
    }, seconds * 1000);
  };

  // Follows a task: lines of its log as they come, all else as a newer state, at most one a second.
  const follow = (part) => {
    const { id } = part;
    const source = new EventSource(part.dataset.events);
    let due = null;
    const soon = () => {
      due ??= setTimeout(() => {
        due = null;
        const now = document.getElementById(id);
        if (now) renew(now);
      }, 1000);
    };
    const line = (event) => {
      const log = document.querySelector("[data-log]");
      if (!log) return;
      let text = event.data;
      try {
        const told = JSON.parse(text);
        text = told.line ?? told.text ?? told.message ?? text;
      } catch {
        // It is the line itself.
      }
      const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      const entry = document.createElement("li");
      entry.textContent = text;
      log.append(entry);
      while (log.children.length > 500) log.firstElementChild.remove();
      if (atEnd) log.scrollTop = log.scrollHeight;
    };
    for (const name of ["log", "line"]) source.addEventListener(name, line);
    for (const name of ["message", "progress", "state"]) source.addEventListener(name, soon);
    source.addEventListener("end", () => {
      source.close();
      soon();
    });
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });
  document.addEventListener("input", (event) => {
    if (event.target.matches("input[data-equals]")) match(event.target);
  });
  document.addEventListener("change", (event) => {
    if (event.target.closest("form[data-auto]")) event.target.form.requestSubmit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && location.hash === "#menu") location.hash = "#main";
  });

  prepare(document);
  for (const part of all("[data-refresh][data-every]")) keepFresh(part.id, Math.max(5, Number(part.dataset.every)));
  for (const part of all("[data-events]")) follow(part);
})();
