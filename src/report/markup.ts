/**
 * Markup in which nothing can be forgotten to be escaped: what stands in html`${here}` is text, unless html`` made it.
 */

export class Markup {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

export type Content = Markup | string | number | null | readonly Content[];

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const escape = (text: string): string => text.replace(/[&<>"']/g, character => entities[character]!);

function render(content: Content): string {
  if (content === null) return '';
  if (content instanceof Markup) return content.toString();
  if (typeof content === 'string') return escape(content);
  if (typeof content === 'number') return String(content);
  return content.map(render).join('');
}

/** HTML or SVG. Strings are escaped, for text and for quoted attributes alike; lists are joined; null is nothing. */
export const html = (fixed: TemplateStringsArray, ...contents: readonly Content[]): Markup =>
  new Markup(String.raw({raw: fixed}, ...contents.map(render)));

/** Our own style and script, which are not text. Never for anything that comes from data. */
export const verbatim = (text: string): Markup => new Markup(text);
