export interface Answer {
  status: number;
  /** By lower-case name; repeated ones joined with a comma. */
  headers: Record<string, string>;
  body: string;
}

/**
 * The answers in the bytes of one connection, interim ones included (RFC 9112 §6.3; answers to HEAD are not supported).
 *
 * @throws when what is left is no complete answer
 */
export function parseAnswers(bytes: Buffer): Answer[] {
  const answers: Answer[] = [];
  let text = bytes.toString('latin1');
  while (text !== '') {
    const head = /^HTTP\/1\.[01] (\d{3})[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n/.exec(text);
    if (!head) throw new Error(`no complete answer: ${JSON.stringify(text)}`);
    const status = Number(head[1]);
    const headers: Record<string, string> = {};
    for (const [, name = '', value = ''] of (head[2] ?? '').matchAll(/^([^:\r\n]+):[ \t]*(.*?)[ \t]*\r$/gm)) {
      const key = name.toLowerCase();
      headers[key] = key in headers ? `${headers[key]}, ${value}` : value;
    }
    text = text.slice(head[0].length);
    const [body, rest] = status < 200 || status === 204 || status === 304 ? ['', text] : takeBody(text, headers);
    answers.push({ status, headers, body: Buffer.from(body, 'latin1').toString() });
    text = rest;
  }
  return answers;
}

function takeBody(text: string, headers: Record<string, string>): [body: string, rest: string] {
  if (headers['transfer-encoding'] !== undefined) return takeChunks(text);
  const length = headers['content-length'];
  if (length === undefined) return [text, ''];
  if (text.length < Number(length)) throw new Error(`${length} bytes promised, ${text.length} received`);
  return [text.slice(0, Number(length)), text.slice(Number(length))];
}

function takeChunks(text: string): [body: string, rest: string] {
  let body = '';
  let rest = text;
  for (;;) {
    const size = /^([\da-f]+)[^\r\n]*\r\n/i.exec(rest);
    if (!size) throw new Error(`no chunk: ${JSON.stringify(rest)}`);
    const length = Number.parseInt(size[1] ?? '', 16);
    const start = size[0].length;
    body += rest.slice(start, start + length);
    rest = rest.slice(start + length + 2);
    if (length === 0) return [body, rest];
  }
}
