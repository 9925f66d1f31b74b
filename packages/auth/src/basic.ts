export interface Credentials {
  name: string;
  password: string;
}

/**
 * The credentials in an Authorization header (RFC 7617: UTF-8, split at the first colon, no control characters);
 * undefined when it holds none.
 */
export function parseBasic(header: string | undefined): Credentials | undefined {
  const [, encoded] = /^Basic +([A-Za-z0-9+/]+={0,2})$/i.exec(header ?? '') ?? [];
  if (encoded === undefined) return undefined;
  const bytes = Buffer.from(encoded, 'base64');
  const text = bytes.toString();
  const colon = text.indexOf(':');
  if (colon === -1 || !Buffer.from(text).equals(bytes) || /\p{Cc}/u.test(text)) return undefined;
  return { name: text.slice(0, colon), password: text.slice(colon + 1) };
}
