// Opens the pictures of a page over it, and goes on over the page's ends: the neighbouring pages are fetched as they
// are, and their pictures join the list. Without this file the links lead to the pictures' own pages.
const { lightboxModule, photoswipeModule } = document.getElementById("lightbox").dataset;
const { default: PhotoSwipeLightbox } = await import(lightboxModule);

const list = document.querySelector("[data-lightbox]");
const pages = { prev: pageLink("prev"), next: pageLink("next") };
const AHEAD = 4; // pictures before an end from which the page behind it is fetched
const PANEL = { width: 384, from: 900 }; // pixels: the recipe stands beside the picture in windows of this width
let isTelling = false;
const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;

function pageLink(rel, root = document) {
  const link = root.querySelector(`nav.pages a[rel=${rel}]`);
  return link && new URL(link.getAttribute("href"), location.href).href;
}

async function read(address) {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(answer.status);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

// ---- The pages before and after

let isFetching = false;

async function extend(pswp, rel) {
  const address = pages[rel];
  if (isFetching || !address) return;
  isFetching = true;
  try {
    const page = await read(address);
    const places = [...page.querySelectorAll("[data-lightbox] > li")].map((place) => document.adoptNode(place));
    const anchors = places.map((place) => place.querySelector("a"));
    const items = pswp.options.dataSource.items;
    pages[rel] = pageLink(rel, page);
    const link = document.querySelector(`nav.pages a[rel=${rel}]`);
    if (pages[rel]) link.href = pages[rel];
    else link.replaceWith(document.createElement("span"));
    if (rel === "next") {
      const first = items.length;
      items.push(...anchors);
      list.append(...places);
      if (!pswp.isDestroying) pswp.refreshSlideContent(first);
    } else {
      const height = document.documentElement.scrollHeight;
      items.unshift(...anchors);
      list.prepend(...places);
      scrollBy({ top: document.documentElement.scrollHeight - height, behavior: "instant" });
      if (!pswp.isDestroying) shift(pswp, anchors.length);
    }
    isFetching = false;
    if (!pswp.isDestroying) extendWhereNeeded(pswp);
  } catch {
    isFetching = false; // no page for now: the list ends here, and the next move tries again
  }
}

// Pictures came in front of the one that is shown: everybody behind them has a higher number now.
function shift(pswp, by) {
  for (let index = 0; index < pswp.getNumItems(); index++) pswp.contentLoader.removeByIndex(index);
  for (const holder of pswp.mainScroll.itemHolders) if (holder.slide) holder.slide.index += by;
  pswp.currIndex += by;
  pswp.potentialIndex += by;
  pswp.refreshSlideContent(pswp.currIndex - 1);
}

function extendWhereNeeded(pswp) {
  if (pages.next && pswp.currIndex >= pswp.getNumItems() - AHEAD) extend(pswp, "next");
  else if (pages.prev && pswp.currIndex < AHEAD) extend(pswp, "prev");
}

// ---- The words beside a picture: its name, what it shows, and its recipe as its own page tells it

function addWords(pswp) {
  pswp.ui.registerElement({
    name: "words",
    order: 9,
    isButton: false,
    appendTo: "root",
    onInit: (element) => {
      element.className = "lightbox-words";
      element.innerHTML =
        '<div class="lightbox-recipe" hidden aria-live="polite"></div><div class="lightbox-caption">' +
        '<p><strong></strong> <span></span></p><button type="button" aria-keyshortcuts="i">' +
        'Recipe</button><a>Details</a></div>';
      const panel = element.querySelector(".lightbox-recipe");
      const [name, caption] = element.querySelectorAll("strong, p span");
      const button = element.querySelector("button");
      const link = element.querySelector("a");
      let shown = null;
      button.setAttribute("aria-expanded", String(isTelling));

      async function tell() {
        panel.hidden = !isTelling;
        const address = link.href;
        if (panel.hidden || shown === address) return;
        shown = address;
        panel.replaceChildren("…");
        let found = [];
        try {
          const page = await read(address);
          found = [...page.querySelectorAll(".details .recipe, .details .caption, .details .labels")];
        } catch {
          shown = null;
        }
        if (link.href !== address) return; // somebody went on meanwhile
        panel.replaceChildren(...(found.length ? found : ["Nothing is known about this picture."]));
        panel.dispatchEvent(new CustomEvent("content-added", { bubbles: true }));
      }

      function toggle() {
        isTelling = !isTelling;
        button.setAttribute("aria-expanded", String(isTelling));
        pswp.updateSize(true);
        tell();
      }

      button.addEventListener("click", toggle);
      pswp.on("openingAnimationEnd", () => isTelling && pswp.updateSize(true)); // until then it takes no new size
      pswp.on("keydown", ({ originalEvent: event }) => {
        if (event.key === "i" && !event.ctrlKey && !event.metaKey && !event.altKey) toggle();
      });
      pswp.on("change", () => {
        const anchor = pswp.currSlide.data.element;
        name.textContent = anchor?.dataset.name ?? "";
        caption.textContent = anchor?.dataset.caption ?? "";
        link.href = anchor?.href ?? "#";
        tell();
      });
    },
  });
}

const lightbox = new PhotoSwipeLightbox({
  gallery: "[data-lightbox]",
  children: "li > a",
  pswpModule: () => import(photoswipeModule),
  bgOpacity: 0.96,
  wheelToZoom: true,
  loop: false, // a list has a beginning and an end
  showAnimationDuration: isCalm ? 0 : 250,
  hideAnimationDuration: isCalm ? 0 : 250,
  zoomAnimationDuration: isCalm ? 0 : 250,
  paddingFn: (viewport) => ({ top: 48, bottom: viewport.x < 700 ? 96 : 72, left: 0, right: isTelling && viewport.x >= PANEL.from ? PANEL.width : 0 }),
});

lightbox.on("uiRegister", () => {
  const { pswp } = lightbox;
  pswp.element.setAttribute("aria-label", document.querySelector("h1")?.textContent ?? "Pictures");
  pswp.element.setAttribute("aria-modal", "true");
  pswp.scrollWrap.setAttribute("role", "group"); // without one, what PhotoSwipe says of it counts for nothing
  addWords(pswp);
});
lightbox.on("change", () => {
  // how many there are in all is not known while a page is missing at either end
  lightbox.pswp.element?.classList.toggle("is-partial", Boolean(pages.prev || pages.next));
  extendWhereNeeded(lightbox.pswp);
});
lightbox.on("close", () => {
  // the page shows what was looked at last, though it may have come from another page
  lightbox.pswp.currSlide?.data.element?.scrollIntoView({ block: "nearest", behavior: "instant" });
});
if (list) {
  lightbox.init();
  list.dataset.lightbox = "ready";
}
