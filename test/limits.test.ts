import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAnswers } from './contract/answer.ts';
import { type Form, splitForm } from './drivers/forms.ts';
import { until, within } from './helpers/operations.ts';
import { RawConnection } from './helpers/raw-connection.ts';

let form: Form;
beforeAll(async () => {
  form = splitForm();
  await form.start();
});
afterAll(() => form.stop());

const urlOf = (service: string, listener: 'url' | 'healthUrl') =>
  form.processes.find(({ name }) => name === service)?.[listener] ?? '';
const host = 'Host: a\r\n';
const answers = ({ received }: RawConnection) => parseAnswers(Buffer.from(received, 'latin1'));

const listeners = [
  ['hello', 'url', 'GET /'],
  ['auth', 'url', 'GET /login'],
  ['hello', 'healthUrl', 'GET /healthz'],
] as const;

describe.for(listeners)('the listener of %s at %s', ([service, listener, get]) => {
  const open = (bytes: string) => RawConnection.open(urlOf(service, listener), bytes);

  test.for([
    [431, `${get} HTTP/1.1\r\n${host}X-Long: ${'x'.repeat(9000)}\r\n\r\n`],
    [413, `${get} HTTP/1.1\r\n${host}Content-Length: 4097\r\n\r\n${'x'.repeat(4097)}`],
    [413, `${get} HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n1001\r\n${'x'.repeat(4097)}\r\n`],
  ] as const)('answers %s to what is too long, and closes', async ([status, request]) => {
    const connection = await open(request);
    await within('the connection ends', connection.closed, 5000);
    const headers = { connection: 'close', 'content-type': 'application/problem+json' };
    expect(answers(connection)).toMatchObject([{ status, headers }]);
  });

  test('keeps an idle connection for longer than a proxy in front does', async () => {
    const connection = await open(`${get} HTTP/1.1\r\n${host}\r\n`);
    await until('an answer', () => connection.received.includes('\r\n\r\n'));
    expect(connection.received).toMatch(/\r\nKeep-Alive: timeout=75\r\n/i);
  });
});

// All at once, because it takes that long: a header has 10 s, a request 15 s, and there is a second between two looks
// at the clock.
test('every listener sends away who is silent or slow', async () => {
  const slow: RawConnection[] = [];
  const dripping: RawConnection[] = [];
  for (const [service, listener, get] of listeners) {
    const url = urlOf(service, listener);
    slow.push(
      await RawConnection.open(url),
      await RawConnection.open(url, `${get} HTTP/1.1\r\n${host}X-Half`),
      await RawConnection.open(url, `${get} HTTP/1.1\r\n${host}Content-Length: 10\r\n\r\nhalf`),
    );
    dripping.push(await RawConnection.open(url, `${get} HTTP/1.1\r\n${host}X-Drops: `));
  }
  const drops = setInterval(() => {
    for (const connection of dripping) connection.write('x');
  }, 500);
  const edge = urlOf('edge', 'url');
  const handshakes = [await RawConnection.open(edge), await RawConnection.open(edge, '\x16\x03\x01\x02')];
  const ended = [...slow, ...dripping, ...handshakes].map(({ closed }) => closed);
  await within('the connections end', Promise.all(ended), 25_000).finally(() => clearInterval(drops));
  // Who still sends may lose the answer to the reset that follows it.
  for (const connection of slow) expect(answers(connection)).toMatchObject([{ status: 408 }]);
});
