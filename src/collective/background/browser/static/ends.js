/* Tells of tasks that have ended: with a notice in a corner of the page, and a mark in
   the title of its tab until somebody has seen it.

   The script of the tray says what has ended, and screen readers hear it from there. */

(() => {
  "use strict";

  const SHOWN_FOR = 8000; // milliseconds, while nobody points at it
  const MOST = 3; // notices at a time
  const MARK = /^\([✓✗]\) /;

  const tray = () => document.getElementById("background-tasks");
  const corner = make("div", "background-tasks-ends toast-container d-print-none p-3");

  function make(name, className, text = "") {
    const element = document.createElement(name);
    element.className = className;
    element.textContent = text;
    return element;
  }

  function show({ title, label, badge }) {
    const notice = make("div", "toast show");
    const line = make("div", "toast-body d-flex align-items-center gap-2");
    const close = make("button", "btn-close");
    close.type = "button";
    close.ariaLabel = `${tray()?.dataset.close}: ${title}`;
    close.addEventListener("click", () => remove(notice));
    line.append(make("span", badge, label));
    line.append(make("span", "flex-grow-1 text-break", title), close);
    notice.append(line);
    removeLater(notice);
    document.body.append(corner);
    corner.append(notice);
    while (corner.children.length > MOST) {
      remove(corner.firstChild);
    }
    giveWay();
  }

  /* It stays while the page cannot be seen, and while somebody is about to read it. */
  function removeLater(notice) {
    let timer = null;
    const wait = () => {
      clearTimeout(timer);
      const isHeld = document.hidden || notice.matches(":hover, :focus-within");
      timer = isHeld ? null : setTimeout(() => remove(notice), SHOWN_FOR);
    };
    for (const type of ["mouseenter", "mouseleave", "focusin"]) {
      notice.addEventListener(type, wait);
    }
    // Until then what gets the focus does not have it yet.
    notice.addEventListener("focusout", () => setTimeout(wait));
    document.addEventListener("visibilitychange", wait);
    wait();
  }

  function remove(notice) {
    const hadFocus = notice.contains(document.activeElement);
    notice.remove();
    if (hadFocus) {
      const next = corner.querySelector("button") || tray()?.querySelector("summary");
      next?.focus({ preventScroll: true });
    }
  }

  /* What has the focus is not to be covered. */
  function giveWay() {
    const focused = document.activeElement;
    if (!focused || focused === document.body || corner.contains(focused)) {
      return;
    }
    const covered = focused.getBoundingClientRect();
    const place = corner.getBoundingClientRect();
    const isBeside = covered.right <= place.left || covered.left >= place.right;
    const isOutside = covered.bottom <= place.top || covered.top >= place.bottom;
    if (!isBeside && !isOutside) {
      corner.classList.toggle("is-at-top");
    }
  }

  function mark({ state, isPartial }) {
    if (document.hidden) {
      const wasGood = !document.title.startsWith("(✗)");
      const isGood = wasGood && state === "succeeded" && !isPartial;
      document.title = `(${isGood ? "✓" : "✗"}) ${document.title.replace(MARK, "")}`;
    }
  }

  document.addEventListener("background-task-ended", ({ detail }) => {
    show(detail);
    mark(detail);
  });

  document.addEventListener("focusin", giveWay);

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented && corner.lastChild) {
      remove(corner.lastChild);
    }
  });

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      document.title = document.title.replace(MARK, "");
    }
  });
})();
