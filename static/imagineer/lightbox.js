// Opens the pictures of a page over it. Without this file the links lead to the pictures' own pages.
const { lightboxModule, photoswipeModule } = document.getElementById("lightbox").dataset;
const { default: PhotoSwipeLightbox } = await import(lightboxModule);

const lightbox = new PhotoSwipeLightbox({
  gallery: "[data-lightbox]",
  children: "a",
  pswpModule: () => import(photoswipeModule),
  bgOpacity: 0.96,
  wheelToZoom: true,
  paddingFn: (viewport) => ({ top: 48, bottom: viewport.x < 700 ? 88 : 64, left: 0, right: 0 }),
});

lightbox.on("uiRegister", () => {
  lightbox.pswp.ui.registerElement({
    name: "caption",
    order: 9,
    isButton: false,
    appendTo: "root",
    onInit: (element, pswp) => {
      element.className = "lightbox-caption";
      const words = element.appendChild(document.createElement("p"));
      const link = element.appendChild(document.createElement("a"));
      link.textContent = "Details";
      pswp.on("change", () => {
        const anchor = pswp.currSlide.data.element;
        words.textContent = anchor?.dataset.caption ?? "";
        link.href = anchor?.href ?? "#";
      });
    },
  });
});
lightbox.init();
