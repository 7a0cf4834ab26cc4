/* Keeps the tray of background tasks up to date while somebody can see it.

   The tray is fetched again, less and less often while nothing changes, and what has
   changed is put into the old one; not at all when all tasks have ended. Buttons work
   without loading the page. Without this script the tray works as well.

   While the page cannot be seen it is fetched once a minute, for the sake of the ends.
   They are told with an event, "background-task-ended".

   Where no tray is, nothing is asked until something was scheduled: the answer to such
   a request brings a cookie. The tab that finds it takes it away, and tells the others. */

(() => {
  "use strict";

  const { baseUrl, portalUrl } = document.body.dataset;
  // The control panel shows all tasks.
  if (!baseUrl || document.getElementById("background-tasks-part")) {
    return;
  }

  const ID = "background-tasks";
  const COOKIE = "background_tasks";
  const SLOWEST = 30000; // milliseconds, as all times here
  const SLOWER = 1.5;
  const UNSEEN = 60000;
  const LISTING_EVERY = 10000;
  const sitePath = new URL(portalUrl).pathname;
  const others = new BroadcastChannel(`background-tasks ${sitePath}`);

  const tray = () => document.getElementById(ID);
  const items = (root) => Array.from(root?.querySelectorAll("[data-task-id]") || []);
  const byId = (root) => new Map(items(root).map((item) => [item.dataset.taskId, item]));
  const details = () => tray()?.querySelector("details");

  /* Showing: nodes that have not changed stay the same. */

  function renew(old, fresh) {
    if (old.isEqualNode(fresh)) {
      return;
    }
    if (old.nodeName !== fresh.nodeName || old.nodeType !== Node.ELEMENT_NODE) {
      old.replaceWith(fresh);
      return;
    }
    for (const { name } of Array.from(old.attributes)) {
      if (!fresh.hasAttribute(name) && name !== "open") {
        old.removeAttribute(name);
      }
    }
    for (const { name, value } of Array.from(fresh.attributes)) {
      old.setAttribute(name, value);
    }
    const { length } = fresh.childNodes;
    if (old.matches("ul.list-group")) {
      renewItems(old, fresh);
      return;
    }
    Array.from(fresh.childNodes).forEach((child, index) => {
      const place = old.childNodes[index];
      if (place) {
        renew(place, child);
      } else {
        old.append(child);
      }
    });
    while (old.childNodes.length > length) {
      old.lastChild.remove();
    }
  }

  /* Items stay with their tasks, whatever their order is. */
  function renewItems(old, fresh) {
    const known = byId(old);
    const wanted = items(fresh).map((item) => {
      const match = known.get(item.dataset.taskId);
      if (match) {
        renew(match, item);
      }
      return match || item;
    });
    if (items(old).some((item, index) => item !== wanted[index]) || !known.size) {
      old.replaceChildren(...wanted);
    } else {
      old.append(...wanted.slice(known.size));
    }
  }

  /* ``fresh``: the tray as the server has it now, or null. */
  function show(fresh) {
    const focused = details()?.contains(document.activeElement) && document.activeElement;
    const item = focused && focused.closest("[data-task-id]");
    const before = items(tray()).map(described);
    const after = new Map(items(fresh).map(described).map((task) => [task.id, task]));
    if (!tray()) {
      add(fresh);
    } else if (fresh) {
      details().hidden = false;
      renew(details(), fresh.querySelector("details"));
    } else {
      details().hidden = true;
      details().removeAttribute("data-active");
      details().querySelector("ul")?.replaceChildren();
    }
    // Else one that is missing may have ended long ago, or stand further down.
    const isComplete = !wasHidden && !fresh?.querySelector("[data-cut]");
    const news = before.filter((task) => hasGoneOn(task, after.get(task.id)));
    announce(news.map(({ id }) => after.get(id)));
    before.forEach((task) => noteChange(task, after.get(task.id), isComplete));
    if (!fresh && tray()?.querySelector("[data-notice]").hidden) {
      tray().remove();
    }
    if (fresh && focused) {
      keepFocus(focused, item);
    }
  }

  function described(item) {
    return {
      id: item.dataset.taskId,
      state: item.dataset.taskState,
      isActive: item.hasAttribute("data-task-active"),
      isPartial: item.hasAttribute("data-task-partial"),
      isHere: item.hasAttribute("data-here"),
      title: item.querySelector("[data-field=title]").textContent,
      label: item.querySelector("[data-field=label]").textContent,
      badge: item.querySelector("[data-field=label]").className,
      progress: item.querySelector("[data-field=progress]").textContent,
    };
  }

  const hasGoneOn = (before, after) => after && after.state !== before.state;

  function noteChange(before, after, isComplete) {
    if (!after) {
      if (before.isActive && isComplete) {
        tell(tray().dataset.unknown.replace("{title}", before.title));
      }
      return;
    }
    // Also one that has failed may have changed something: a batch.
    const hasEnded = before.isActive && !after.isActive;
    if (hasEnded) {
      const news = new CustomEvent("background-task-ended", { detail: after });
      document.dispatchEvent(news);
    }
    if (after.isHere && (hasEnded || after.progress !== before.progress)) {
      refreshListing(hasEnded);
    }
  }

  /* The first tray of a page without one. */
  function add(fresh) {
    const place = document.getElementById("viewlet-above-content");
    if (fresh && place) {
      place.append(fresh);
      restoreOpen();
    }
  }

  /* When what has the focus vanishes, it goes on: never to a button that does more than
     to dismiss, since somebody may be about to press it. */
  function keepFocus(focused, item) {
    if (focused.isConnected && !focused.hidden) {
      focused.focus({ preventScroll: true });
      return;
    }
    const dismiss = item?.isConnected && item.querySelector("button[value=dismiss]");
    (dismiss && !dismiss.hidden ? dismiss : details().querySelector("summary")).focus();
  }

  function announce(tasks) {
    if (tasks.length) {
      const texts = tasks.map(({ title, label }) => `${title}: ${label}`);
      tray().querySelector("[data-announcement]").textContent = texts.join("; ");
    }
  }

  function tell(text, link = "") {
    const notice = tray().querySelector("[data-notice]");
    notice.replaceChildren(text, " ", link);
    notice.hidden = !text;
  }

  function tellLoggedOut() {
    const { loggedOut, logIn, loginUrl } = tray().dataset;
    const link = document.createElement("a");
    link.href = `${loginUrl}?came_from=${encodeURIComponent(window.location.href)}`;
    link.textContent = logIn;
    tell(loggedOut, link);
  }

  /* Open as long as the browser's session. */
  function restoreOpen() {
    if (sessionStorage.getItem(ID) === "open") {
      details().open = true;
    }
  }

  /* The listing of the folder, when a task changes it. */

  let listedAt = 0;

  async function refreshListing(isOver) {
    const listing = document.getElementById("content-core");
    const isEarly = !isOver && performance.now() - listedAt < LISTING_EVERY;
    if (!tray().dataset.listing || !listing || isEarly) {
      return;
    }
    listedAt = performance.now();
    try {
      const response = await fetch(window.location.href, { cache: "no-cache" });
      if (response.ok && !response.redirected) {
        renewListing(listing, await response.text());
      }
    } catch (error) {
      console.debug("the listing could not be fetched", error);
    }
  }

  function renewListing(listing, text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = page.getElementById("content-core");
    const focused = listing.contains(document.activeElement) && document.activeElement;
    // Who fills in a form goes on.
    if (!fresh || (focused && focused.matches("input, select, textarea"))) {
      return;
    }
    const place = focused && focused.getAttribute("href");
    listing.replaceChildren(...fresh.childNodes);
    // To this event Patternslib listens: it makes the new elements work.
    window.jQuery?.(listing).trigger("patterns-injected", [null, null, listing]);
    if (place) {
      const links = Array.from(listing.querySelectorAll("a[href]"));
      const link = links.find((other) => other.getAttribute("href") === place);
      link?.focus({ preventScroll: true });
    }
  }

  /* Asking. */

  const usual = () => Number(tray()?.dataset.pollInterval || 2) * 1000;
  let timer = null;
  let delay = usual();
  let etag = null;
  let isAsking = false;
  let isStale = false;
  let isAway = false;
  let isOver = false;
  let wasHidden = document.hidden; // since the last answer

  function plan(wait) {
    clearTimeout(timer);
    const isActive = details()?.hasAttribute("data-active");
    const isWanted = isActive || (!document.hidden && (isStale || isAway));
    if (isWanted && !isOver) {
      timer = setTimeout(ask, document.hidden ? UNSEEN : wait);
    }
  }

  function askNow() {
    isStale = true;
    delay = usual();
    plan(0);
  }

  async function ask() {
    if (isAsking) {
      return;
    }
    isAsking = true;
    isStale = false;
    let isNews = false;
    let shortest = usual();
    try {
      const url = tray()?.dataset.pollUrl || `${baseUrl}/@@${ID}?ajax_load=1`;
      const headers = etag ? { "If-None-Match": etag } : {};
      // To the login form one is redirected.
      const response = await fetch(url, { headers, redirect: "manual" });
      shortest = Number(response.headers.get("Retry-After")) * 1000 || shortest;
      isNews = response.ok;
      await take(response);
    } catch (error) {
      // The server may be about to start again.
      console.debug("background tasks could not be fetched", error);
      tellAway();
    }
    isAsking = false;
    delay = isNews ? shortest : Math.max(shortest, Math.min(delay * SLOWER, SLOWEST));
    plan(isStale ? 0 : delay);
  }

  async function take(response) {
    const { status } = response;
    if (response.ok) {
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      tellBack();
      show(page.getElementById(ID));
      etag = response.headers.get("ETag");
      wasHidden = document.hidden;
    } else if (status === 304) {
      tellBack();
      wasHidden = document.hidden;
    } else if (status >= 500) {
      tellAway();
    } else if (![408, 429].includes(status)) {
      isOver = true;
      if (tray() && status !== 404) {
        tellLoggedOut();
      }
    }
  }

  function tellAway() {
    if (tray() && !isAway) {
      isAway = true; // so it is asked until it answers
      tell(tray().dataset.away);
    }
  }

  function tellBack() {
    if (isAway) {
      isAway = false;
      tell("");
    }
  }

  /* News of the page's own requests, and of other tabs. */

  function findNews() {
    const before = countCookies();
    if (before) {
      document.cookie = `${COOKIE}=; path=${sitePath}; max-age=0`;
      // That of a site in whose path this one is stays, and is no news here.
      if (countCookies() < before) {
        tellOthers();
        askNow();
      }
    }
  }

  function countCookies() {
    const cookies = document.cookie.split("; ");
    return cookies.filter((each) => each.startsWith(`${COOKIE}=`)).length;
  }

  function tellOthers() {
    others.postMessage("");
  }

  others.addEventListener("message", askNow);
  new PerformanceObserver(findNews).observe({ type: "resource" });

  /* Acting. */

  async function act(form, button) {
    const data = new FormData(form);
    data.set(button.name, button.value);
    const headers = { Accept: "application/json" };
    const url = form.getAttribute("action"); // "form.action" is the button
    const request = { method: "POST", body: data, headers, redirect: "manual" };
    const response = await fetch(url, request);
    if (response.type === "opaqueredirect" || response.status === 401) {
      tellLoggedOut();
      return;
    }
    const { error } = await response.json();
    if (!response.ok && !error) {
      throw new Error(`the server has answered with ${response.status}`);
    }
    tell(error);
    tellOthers();
    askNow();
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!details()?.contains(form)) {
      return;
    }
    event.preventDefault();
    if (form.ariaBusy === "true") {
      return;
    }
    form.ariaBusy = "true";
    try {
      await act(form, event.submitter);
    } catch (error) {
      console.debug("the action failed", error);
      tell(tray().dataset.failure);
    }
    form.ariaBusy = "false";
  });

  // This event does not bubble.
  document.addEventListener(
    "toggle",
    (event) => {
      if (event.target === details()) {
        sessionStorage.setItem(ID, event.target.open ? "open" : "closed");
        if (event.target.open && !event.target.querySelector(".background-tasks-list")) {
          askNow();
        }
      }
    },
    true,
  );

  document.addEventListener("visibilitychange", () => {
    wasHidden ||= document.hidden;
    delay = usual();
    plan(0);
  });

  if (tray()) {
    restoreOpen();
  }
  findNews();
  plan(0);
})();
