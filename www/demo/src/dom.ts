// The page's own elements, by id. A missing one is a mistake in index.html and is named.

export function el<Type extends HTMLElement = HTMLElement>(id: string): Type {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no element with the id "${id}"`);
  return element as Type;
}

/** Leaves an unchanged text alone, so that a screen reader does not hear it again. */
export function setText(target: string | HTMLElement, text: string): void {
  const element = typeof target === 'string' ? el(target) : target;
  if (element.textContent !== text) element.textContent = text;
}
