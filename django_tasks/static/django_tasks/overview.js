// Renews the overview while somebody can see it. Without it the page is as it was when it loaded.
"use strict";

// The admin loads scripts before the page that they are for.
document.addEventListener("DOMContentLoaded", function () {
    const LONGEST_WAIT = 60;
    const page = document.querySelector(".overview[data-url]");
    if (!page) {
        return;
    }
    const trouble = document.getElementById("overview-trouble");
    const sectionsOfPage = page.querySelectorAll("[data-section]");
    const pause = document.getElementById("overview-pause");
    const seconds = Number(page.dataset.seconds);
    const shown = new Map();
    let failures = 0;
    let hasEnded = false;
    let isPaused = false;
    let running = null;
    let timer;

    function wantsNews() {
        return !hasEnded && !isPaused && !document.hidden;
    }

    function isSelectedIn(section) {
        const selection = document.getSelection();
        return !selection.isCollapsed && section.contains(selection.anchorNode);
    }

    function focusable(section) {
        return [...section.querySelectorAll("a[href], summary, [tabindex]")];
    }

    function scrolling(section) {
        return [...section.querySelectorAll(".overview-scroll")];
    }

    // The keyboard stays where it is: on the link to the same place, else on the one that has
    // taken its turn.
    function focusAgain(section, focused, place) {
        const candidates = focusable(section);
        const href = focused.getAttribute("href");
        const same = candidates.find((node) => href && node.getAttribute("href") === href);
        const next = same ?? candidates[Math.min(place, candidates.length - 1)];
        next?.focus({preventScroll: true});
    }

    function show(section, markup) {
        const parsed = document.createElement("template");
        parsed.innerHTML = markup;
        // What is the same stays: it would be read out again.
        if (shown.get(section) === parsed.innerHTML || isSelectedIn(section)) {
            return;
        }
        shown.set(section, parsed.innerHTML);
        const focused = section.contains(document.activeElement) ? document.activeElement : null;
        const place = focused ? focusable(section).indexOf(focused) : -1;
        const open = [...section.querySelectorAll("details[open]")].map((node) => node.id);
        const scrolled = scrolling(section).map((node) => node.scrollLeft);
        section.replaceChildren(parsed.content);
        open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
        scrolling(section).forEach((node, n) => {
            node.scrollLeft = scrolled[n] ?? 0;
        });
        if (focused) {
            focusAgain(section, focused, place);
        }
    }

    async function fetchSections(signal) {
        const response = await fetch(page.dataset.url, {redirect: "manual", signal});
        if (response.type === "opaqueredirect" || response.status === 403) {
            hasEnded = true;
            throw new Error("The session has ended.");
        }
        if (!response.ok) {
            throw new Error(`HTTP ${response.status}`);
        }
        return (await response.json()).sections;
    }

    async function renew() {
        clearTimeout(timer);
        if (running || !wantsNews()) {
            return;
        }
        running = new AbortController();
        try {
            const sections = await fetchSections(running.signal);
            sectionsOfPage.forEach((section) => show(section, sections[section.dataset.section]));
            failures = 0;
            trouble.textContent = "";
        } catch (error) {
            if (error.name !== "AbortError") {
                failures += 1;
                trouble.textContent = hasEnded ? trouble.dataset.ended : trouble.dataset.gone;
            }
        } finally {
            running = null;
            renewLater();
        }
    }

    function renewLater() {
        clearTimeout(timer);
        if (wantsNews()) {
            timer = setTimeout(renew, 1000 * Math.min(seconds * 2 ** failures, LONGEST_WAIT));
        }
    }

    function goOnOrStop() {
        if (wantsNews()) {
            renew();
        } else {
            clearTimeout(timer);
            running?.abort();
        }
    }

    pause.addEventListener("click", () => {
        isPaused = !isPaused;
        pause.textContent = isPaused ? pause.dataset.resume : pause.dataset.pause;
        goOnOrStop();
    });
    document.addEventListener("visibilitychange", goOnOrStop);
    sectionsOfPage.forEach((section) => shown.set(section, section.innerHTML));
    pause.parentElement.hidden = false;
    renewLater();
});
