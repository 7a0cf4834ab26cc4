/* Keeps a page of the control panel up to date while somebody can see it.

   The page is fetched again, without its surroundings, and what has changed is put
   into the old one. Nodes that have not changed stay the same, so what is selected,
   typed in, opened or in focus remains so. Without this script the pages work as
   well. */

(() => {
  "use strict";

  const part = document.getElementById("background-tasks-part");
  if (!part) {
    return;
  }

  /* Rows of tasks come and go: those with an id stay with their task. */
  function syncChildren(old, fresh) {
    const wanted = new Set(Array.from(fresh.children, (child) => child.id));
    let place = old.firstChild;
    for (const child of Array.from(fresh.childNodes)) {
      while (place && place.id && !wanted.has(place.id)) {
        const gone = place;
        place = place.nextSibling;
        gone.remove();
      }
      const match = child.id
        ? Array.from(old.children).find((known) => known.id === child.id)
        : place && !place.id && place.nodeName === child.nodeName && place;
      if (!match) {
        old.insertBefore(child, place);
      } else {
        if (match !== place) {
          old.insertBefore(match, place);
        }
        sync(match, child);
        place = match.nextSibling;
      }
    }
    while (place) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
  }

  function sync(old, fresh) {
    if (old.isEqualNode(fresh)) {
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name } of Array.from(old.attributes)) {
      // These are changed by the reader and by this script.
      if (!fresh.hasAttribute(name) && name !== "open" && name !== "hidden") {
        old.removeAttribute(name);
      }
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value && name !== "open" && name !== "hidden") {
        old.setAttribute(name, value);
      }
    }
    syncChildren(old, fresh);
  }

  /* One box selects all tasks of the page, but for those within a group, which has a
     box of its own; buttons copy a text, where the browser lets them: not without
     HTTPS. */
  function showTools() {
    const copy = navigator.clipboard ? ", [data-copy]" : "";
    for (const tool of part.querySelectorAll(`#background-tasks-all${copy}`)) {
      tool.hidden = false;
    }
  }

  part.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) {
      const text = document.getElementById(button.dataset.copy).textContent;
      navigator.clipboard.writeText(text).catch((error) => {
        console.debug("the text could not be copied", error);
      });
    }
  });

  part.addEventListener("change", (event) => {
    if (event.target.id === "background-tasks-all") {
      for (const box of part.querySelectorAll("tr > td > input[name='ids:list']")) {
        box.checked = event.target.checked;
      }
    }
  });

  showTools();

  /* Fetching. */
  const interval = Number(part.dataset.pollInterval) * 1000;
  if (!interval) {
    return;
  }
  const address = new URL(window.location.href);
  address.searchParams.set("ajax_load", "1");
  address.hash = "";
  const live = document.getElementById("background-tasks-live");
  const liveSwitch = document.getElementById("background-tasks-live-switch");
  const notice = document.getElementById("background-tasks-notice");
  let timer = null;
  let isOver = false;

  function tell(text, link = "") {
    if (notice.textContent.trim() !== text) {
      notice.replaceChildren(text, " ", link);
      notice.hidden = !text;
    }
  }

  function tellLoggedOut() {
    const { loggedOut, logIn, loginUrl } = notice.dataset;
    const link = document.createElement("a");
    link.href = `${loginUrl}?came_from=${encodeURIComponent(window.location.href)}`;
    link.textContent = logIn;
    tell(loggedOut, link);
  }

  async function refresh() {
    const begun = performance.now();
    try {
      const response = await fetch(address, { cache: "no-store" });
      // Who is logged out is led to a form, or asked by the browser itself.
      if (response.redirected || [401, 403].includes(response.status)) {
        isOver = true;
        tellLoggedOut();
      } else if (response.status === 404) {
        isOver = true;
        tell(notice.dataset.gone);
      } else if (!response.ok) {
        tell(notice.dataset.away);
      } else {
        tell("");
        const text = await response.text();
        const page = new DOMParser().parseFromString(text, "text/html");
        const fresh = page.getElementById(part.id);
        if (fresh) {
          sync(part, fresh);
          showTools();
          isOver = !fresh.dataset.pollInterval; // the task has ended
        }
      }
    } catch (error) {
      // The server may be about to start again.
      console.debug("background tasks could not be fetched", error);
      tell(notice.dataset.away);
    }
    if (isOver) {
      live.hidden = true;
    }
    wait(performance.now() - begun);
  }

  /* If an answer takes long, the next one is asked for later: at most a tenth of the
     time is spent on answers. */
  function wait(took) {
    clearTimeout(timer);
    if (!isOver && !document.hidden && liveSwitch.checked) {
      timer = setTimeout(refresh, Math.max(interval, 10 * took));
    }
  }

  live.hidden = false;
  liveSwitch.addEventListener("change", () => wait(0));
  document.addEventListener("visibilitychange", () => wait(0));
  wait(0);
})();
