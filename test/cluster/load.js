// Runs in a pod: clients that each keep a connection and send one request after another, with tokens from logins. Each
// failure is a line of the log; once a second a line says what was answered so far. Before it stands `const options = {…}`.
import { Agent, createServer, request } from 'node:http';
import { request as requestTls, Agent as TlsAgent } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';

const { clients, login, ca } = options;
/** Tokens in use: a login every second, so each lives for so many seconds. */
const TOKENS = 20;
const tokens = [];
const answered = {};
const accepted = {};
let failed = 0;
let second = 0;
/** The requests that have no answer yet, each with the second in which it began. */
const begun = new Set();

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** An agent of its own is a connection of its own. */
function connection(url) {
  const secure = url.startsWith('https:');
  const agent = new (secure ? TlsAgent : Agent)({ keepAlive: true, maxSockets: 1, ca });
  const send = secure ? requestTls : request;
  return (path, { body, ...options }) =>
    new Promise((resolve, reject) => {
      const sent = send(url + path, { ...options, agent, timeout: 20_000 }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
        });
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode, body: text }));
      });
      sent.on('timeout', () => sent.destroy(new Error('no answer for 20 s')));
      sent.on('error', reject);
      sent.end(body);
    });
}

/** Sends, and counts; @returns the body when it is what it should be */
async function count(client, url, path, options, expected) {
  const request = { second };
  begun.add(request);
  try {
    const { status, body } = await client(path, options);
    if (status !== 200 || !expected.test(body)) throw new Error(`${status} ${body}`);
    answered[url] = (answered[url] ?? 0) + 1;
    return body;
  } catch ({ message }) {
    failed += 1;
    say({ failure: `${options.method} ${url}${path}: ${message}`, url, at: new Date() });
    return undefined;
  } finally {
    begun.delete(request);
  }
}

async function logIn(client) {
  const authorization = `Basic ${Buffer.from('user:password').toString('base64')}`;
  const body = await count(client, login, '/login', { method: 'GET', headers: { authorization } }, /^{"token":"/);
  if (body === undefined) return;
  const { token } = JSON.parse(body);
  tokens.push({ token, kid: JSON.parse(Buffer.from(token.split('.')[0], 'base64url')).kid });
  if (tokens.length > TOKENS) tokens.shift();
}

async function goOn(url) {
  const client = connection(url);
  for (let turn = 0; ; turn += 1) {
    const { token, kid } = tokens[Math.floor(Math.random() * tokens.length)];
    const path = turn % 2 === 0 ? '/' : '/secure';
    const post = turn % 4 > 1 && { method: 'POST', body: 'message=hello' };
    const options = { method: 'GET', ...post, headers: { authorization: `Bearer ${token}` } };
    const body = await count(client, url, path, options, /^{"message":"Hello"}\n$/);
    if (body !== undefined && path === '/secure') accepted[kid] = (accepted[kid] ?? 0) + 1;
    // So that connections are idle now and then, as those of people are.
    await delay(Math.random() * 150);
  }
}

const loginClient = connection(login);
while (tokens.length === 0) await logIn(loginClient);
// It is ready.
createServer().listen(8080);
setInterval(() => logIn(loginClient), 1000);
setInterval(() => {
  second += 1;
  const oldest = Math.min(second, ...[...begun].map((request) => request.second));
  say({ second, oldest, answered, failed, accepted, kids: [...new Set(tokens.map(({ kid }) => kid))] });
}, 1000);
for (const [url, count] of Object.entries(clients)) for (let one = 0; one < count; one += 1) void goOn(url);
