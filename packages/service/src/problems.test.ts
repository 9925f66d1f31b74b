import { expect, test } from 'vitest';
import { Problem, toProblem, Unauthorized } from './problems.ts';

test('a problem is a document of its status and reason phrase, and a detail if there is one', () => {
  expect(new Problem(404)).toMatchObject({
    contentType: 'application/problem+json',
    body: '{"status":404,"title":"Not Found"}\n',
    headers: {},
  });
  expect(new Problem(400, { detail: 'what to do' }).body).toBe(
    '{"status":400,"title":"Bad Request","detail":"what to do"}\n',
  );
  expect(new Problem(499).body).toBe('{"status":499,"title":"Error"}\n');
});

test('a failed authentication is told in the words of the original, with its challenge', () => {
  expect(new Unauthorized('Basic realm="x"')).toMatchObject({
    status: 401,
    contentType: 'text/plain; charset=utf-8',
    body: 'authorization failed\n',
    headers: { 'www-authenticate': 'Basic realm="x"' },
  });
});

test('a problem that was thrown is answered as it is', () => {
  const problem = new Problem(503, { headers: { 'retry-after': '2' } });
  expect(toProblem(problem)).toBe(problem);
});

test('of a bad request that fastify finds, only the status is told', () => {
  const error = Object.assign(new Error('body of /secret is too large'), { statusCode: 413 });
  expect(toProblem(error).body).toBe('{"status":413,"title":"Payload Too Large"}\n');
});

test.for([
  new Error('at /home/me'),
  Object.assign(new Error('upstream 10.0.0.1'), { statusCode: 502 }),
  { statusCode: 200 },
  { statusCode: '404' },
  'text',
])('of anything else that was thrown, nothing is told (%o)', (thrown) =>
  expect(toProblem(thrown).body).toBe('{"status":500,"title":"Internal Server Error"}\n'),
);

test('even nothing may be thrown', () => {
  for (const thrown of [undefined, null]) expect(toProblem(thrown).status).toBe(500);
});
