// Every figure of the text is a link to its picture alone, where the browser can enlarge it.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".bd-article figure img").forEach((image) => {
    if (image.closest("a")) return;
    const link = document.createElement("a");
    link.href = image.src;
    link.title = "Open this figure alone, to enlarge it";
    image.replaceWith(link);
    link.append(image);
  });
});
