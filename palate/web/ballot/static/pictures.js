// Shows the images that the server found harmless. One that does not load stays in words.
export function show(root) {
  for (const span of root.querySelectorAll('[data-picture]')) {
    const image = Object.assign(document.createElement('img'), { src: span.dataset.picture, alt: span.dataset.alt })
    image.addEventListener('load', () => span.replaceWith(image))
  }
}
