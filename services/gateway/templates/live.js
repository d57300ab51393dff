// Live views: a link with the number of rows that are new since the page was loaded. The rows stay as they are until the
// link is followed. Without this script nothing else is missing.
"use strict";

const bar = document.querySelector("[data-live]");

/** Whether a person has paused live views in this browser. A browser that stores nothing asks again on each page. */
const paused = {
  get() {
    try { return localStorage.getItem("carillon.paused") === "yes"; } catch { return false; }
  },
  set(value) {
    try { localStorage.setItem("carillon.paused", value ? "yes" : "no"); } catch { /* It holds for this page. */ }
  },
};

if (bar) {
  const link = bar.querySelector("a");
  const state = bar.querySelector(".state");
  const button = bar.querySelector("button");
  let source = null;
  let isPaused = paused.get();
  let isOver = false;

  const close = () => {
    source?.close();
    source = null;
  };
  const open = () => {
    // A hidden page needs no news, and browsers open few connections to one server.
    if (source || isPaused || isOver || document.hidden) return;
    source = new EventSource(bar.dataset.live);
    source.onopen = () => { state.textContent = "Live"; };
    source.onmessage = (message) => {
      link.textContent = message.data;
      link.hidden = false;
    };
    source.addEventListener("none", () => { link.hidden = true; });
    source.addEventListener("end", (message) => {
      isOver = true;
      close();
      state.textContent = message.data;
      button.hidden = true;
    });
    source.onerror = () => {
      const isClosed = source?.readyState === EventSource.CLOSED;
      state.textContent = isClosed ? "Not live. Load the page again." : "Connecting…";
      if (isClosed) close();
    };
  };
  const show = () => {
    button.textContent = isPaused ? "Go live" : "Pause";
    bar.classList.toggle("paused", isPaused);
    if (isPaused) state.textContent = "Paused";
  };

  button.addEventListener("click", () => {
    isPaused = !isPaused;
    paused.set(isPaused);
    show();
    if (isPaused) close(); else open();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close(); else open();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  bar.hidden = false;
  show();
  open();
}
