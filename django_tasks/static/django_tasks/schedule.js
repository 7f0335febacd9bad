// Renews the preview while the form is filled in. Without it the preview is there after saving.
"use strict";

// The admin loads scripts before the page that they are for.
document.addEventListener("DOMContentLoaded", function () {
    const DELAY = 350;
    const preview = document.getElementById("schedule-preview");
    const form = document.getElementById("schedule_form");
    // On a page that only shows there is nothing to fill in.
    if (!preview || !form || !form.elements.namedItem("kind")) {
        return;
    }
    // The server shows no secret here, so it needs none.
    const KEPT_BACK = ["args", "kwargs", "csrfmiddlewaretoken"];
    let timer;
    let running;
    let shown = preview.childElementCount ? entered() : "";

    function entered() {
        const data = new FormData(form);
        KEPT_BACK.forEach((name) => data.delete(name));
        return new URLSearchParams(data).toString();
    }

    async function renew() {
        const body = entered();
        if (body === shown) {
            return;
        }
        shown = body;
        if (running) {
            running.abort();
        }
        running = new AbortController();
        preview.classList.add("schedule-stale");
        try {
            const response = await fetch(preview.dataset.url, {
                method: "POST",
                body,
                headers: {
                    "Content-Type": "application/x-www-form-urlencoded",
                    "X-CSRFToken": form.elements.namedItem("csrfmiddlewaretoken").value,
                },
                redirect: "error",
                signal: running.signal,
            });
            if (!response.ok) {
                throw new Error(`HTTP ${response.status}`);
            }
            preview.innerHTML = await response.text();
            preview.classList.remove("schedule-stale");
        } catch (error) {
            if (error.name !== "AbortError") {
                shown = "";
                preview.textContent = `${preview.dataset.failure} (${error.message})`;
            }
        }
    }

    function renewSoon() {
        clearTimeout(timer);
        timer = setTimeout(renew, DELAY);
    }

    // focusin: the calendar's shortcuts fill fields in without an event of their own.
    ["input", "change", "focusin"].forEach((name) => form.addEventListener(name, renewSoon));
    renew();
});
