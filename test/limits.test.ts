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

describe.for([
  ['hello', 'url', 'GET /'],
  ['auth', 'url', 'GET /login'],
  ['hello', 'healthUrl', 'GET /healthz'],
] as const)('the listener of %s at %s', ([service, listener, get]) => {
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

  // A header has 10 s, a request 15 s; a second passes between two looks at the clock.
  test('sends away who is silent or slow', async () => {
    const silent = await open('');
    const halfHeader = await open(`${get} HTTP/1.1\r\n${host}X-Half`);
    const halfBody = await open(`${get} HTTP/1.1\r\n${host}Content-Length: 10\r\n\r\nhalf`);
    const drop = await open(`${get} HTTP/1.1\r\n${host}X-Drops: `);
    const dropping = setInterval(() => drop.write('x'), 500);
    const all = [silent, halfHeader, halfBody, drop];
    await within('the connections end', Promise.all(all.map(({ closed }) => closed)), 25_000).finally(() =>
      clearInterval(dropping),
    );
    for (const connection of all) expect(answers(connection)).toMatchObject([{ status: 408 }]);
  });
});

test('the edge sends away who never begins with TLS', async () => {
  const url = urlOf('edge', 'url');
  const connections = [await RawConnection.open(url), await RawConnection.open(url, '\x16\x03\x01\x02')];
  await within('the connections end', Promise.all(connections.map(({ closed }) => closed)), 25_000);
});
