/* Keeps the viewlet of background tasks up to date while somebody can see it.

   It asks the server about the tasks that have not ended, less and less often while
   nothing changes, and puts the answer into what the server has rendered. Buttons work
   without loading the page. Without this script the viewlet works as well. */

(() => {
  "use strict";

  const root = document.getElementById("background-tasks");
  if (!root) {
    return;
  }

  const SLOWEST = 30000; // milliseconds
  const SLOWER = 1.5;
  const MANY = 100; // tasks; the server counts one more at the most
  const usual = Number(root.dataset.pollInterval) * 1000;
  const notice = root.querySelector("[data-notice]");

  const items = () => Array.from(root.querySelectorAll("[data-task-id]"));
  const find = (id) => items().find((item) => item.dataset.taskId === id);
  const active = () => items().filter((item) => item.hasAttribute("data-task-active"));

  /* Showing. All texts are set as texts: nothing of them can become an element. */

  function setShown(element, isShown) {
    if (!isShown && element === document.activeElement) {
      focusOn(element.closest("[data-task-id]"));
    }
    element.hidden = !isShown;
  }

  /* Where the focus goes when what has it vanishes: never to a button that does more
     than to dismiss, since somebody may be about to press it. */
  function focusOn(item) {
    const dismiss = item.querySelector("button[value=dismiss]");
    const heading = document.getElementById("background-tasks-heading");
    (dismiss.hidden ? heading : dismiss).focus();
  }

  function update(item, task) {
    const before = item.dataset.taskState;
    item.dataset.taskState = task.state;
    item.toggleAttribute("data-task-active", task.is_active);
    for (const element of item.querySelectorAll("[data-field]")) {
      const text = task[element.dataset.field];
      element.textContent = text;
      element.hidden = !text;
    }
    item.querySelector("[data-badge]").className = `badge ${task.state_class}`;
    const progress = item.querySelector("progress");
    if (task.percentage === null) {
      progress.removeAttribute("value");
    } else {
      progress.value = task.percentage;
    }
    for (const link of item.querySelectorAll("[data-link]")) {
      const url = task[link.dataset.link];
      if (url) {
        link.href = url;
      }
      link.hidden = !url;
    }
    // From the last one on, so that "Dismiss" is there when the focus goes to it.
    for (const button of Array.from(item.querySelectorAll("button")).reverse()) {
      setShown(button, task.actions.includes(button.value));
    }
    updateMessages(item.querySelector("[data-messages]"), task.messages);
    if (before !== task.state) {
      announce(`${task.title}: ${task.label}`);
      if (task.state === "succeeded" && item.dataset.here) {
        refreshListing().catch((error) => {
          console.debug("the listing could not be fetched", error);
        });
      }
    }
  }

  function updateMessages(list, messages) {
    const shown = list.children;
    messages.forEach((message, index) => {
      const entry = shown[index] || list.appendChild(document.createElement("li"));
      const css = `alert ${message.css_class} text-break`;
      if (entry.className !== css || entry.textContent !== message.text) {
        entry.className = css;
        entry.textContent = message.text;
      }
    });
    while (shown.length > messages.length) {
      list.lastElementChild.remove();
    }
  }

  function remove(item) {
    const hadFocus = item.contains(document.activeElement);
    const next = item.nextElementSibling || item.previousElementSibling;
    item.remove();
    if (!next) {
      root.hidden = true;
    } else if (hadFocus) {
      focusOn(next);
    }
  }

  function showActive(count) {
    const element = root.querySelector("[data-active-count]");
    element.textContent = count > MANY ? `${MANY}+` : count;
    element.parentElement.hidden = !count;
  }

  function announce(text) {
    root.querySelector("[data-announcement]").textContent = text;
  }

  function tell(text) {
    notice.textContent = text;
    notice.hidden = !text;
  }

  /* The listing of the folder, when a task has changed it. */

  async function refreshListing() {
    const listing = document.getElementById("content-core");
    if (!root.dataset.listing || !listing) {
      return;
    }
    const response = await fetch(window.location.href, { cache: "no-cache" });
    if (!response.ok || response.redirected) {
      return;
    }
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById("content-core");
    const focused = listing.contains(document.activeElement) && document.activeElement;
    // Who fills in a form goes on.
    if (!fresh || (focused && focused.matches("input, select, textarea"))) {
      return;
    }
    const place = focused && focused.getAttribute("href");
    listing.replaceChildren(...fresh.childNodes);
    if (window.jQuery) {
      // To this event Patternslib listens: it makes the new elements work.
      window.jQuery(listing).trigger("patterns-injected", [null, null, listing]);
    }
    if (place) {
      const links = Array.from(listing.querySelectorAll("a[href]"));
      const link = links.find((other) => other.getAttribute("href") === place);
      if (link) {
        link.focus({ preventScroll: true });
      }
    }
  }

  /* Asking. */

  let timer = null;
  let delay = usual;
  let etag = null;
  let isAsking = false;
  let isOver = false;

  function plan(wait) {
    clearTimeout(timer);
    if (!isOver && !document.hidden && active().length) {
      timer = setTimeout(ask, wait);
    }
  }

  async function ask() {
    if (isAsking) {
      return;
    }
    isAsking = true;
    const url = new URL(root.dataset.pollUrl);
    url.searchParams.set("ids", active().map((item) => item.dataset.taskId).join(","));
    let isNews = false;
    let shortest = usual;
    try {
      const headers = etag ? { "If-None-Match": etag } : {};
      // To the login form one is redirected.
      const response = await fetch(url, { headers, redirect: "manual" });
      shortest = Number(response.headers.get("Retry-After")) * 1000 || usual;
      if (response.ok) {
        isNews = true;
        etag = response.headers.get("ETag");
        show(await response.json());
      } else if (response.status < 500 && ![304, 408, 429].includes(response.status)) {
        isOver = true; // logged out, or the add-on is not there any more
      }
    } catch (error) {
      // The server may be about to start again.
      console.debug("background tasks could not be fetched", error);
    }
    isAsking = false;
    delay = isNews ? shortest : Math.max(shortest, Math.min(delay * SLOWER, SLOWEST));
    plan(delay);
  }

  function show(answer) {
    showActive(answer.active);
    // Somebody may have dismissed a task since it was asked about.
    const known = answer.tasks.filter((task) => find(task.id));
    known.forEach((task) => update(find(task.id), task));
    answer.gone.map(find).filter(Boolean).forEach(remove);
  }

  /* Acting. */

  async function act(form, button) {
    const data = new FormData(form);
    data.set(button.name, button.value);
    const item = form.closest("[data-task-id]");
    const headers = { Accept: "application/json" };
    const url = form.getAttribute("action"); // "form.action" is the button
    const response = await fetch(url, { method: "POST", body: data, headers });
    const answer = await response.json();
    if (answer.task) {
      update(item, answer.task);
    } else if (response.ok) {
      remove(item);
    }
    if (!response.ok && !answer.error) {
      throw new Error(`the server has answered with ${response.status}`);
    }
    tell(answer.error || "");
  }

  root.addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    if (form.ariaBusy === "true") {
      return;
    }
    form.ariaBusy = "true";
    try {
      await act(form, event.submitter);
    } catch (error) {
      console.debug("the action failed", error);
      tell(root.dataset.failure);
    }
    form.ariaBusy = "false";
    delay = usual;
    plan(0);
  });

  document.addEventListener("visibilitychange", () => {
    delay = usual;
    plan(0);
  });

  plan(0);
})();
