import { describe, expect, it } from 'vitest';
import { expectJson, type Suite } from './suite.ts';

export function helloContract({ app }: Suite): void {
  describe('GET /', () => {
    it('GET / answers 200 with the greeting', async () => {
      expectJson(await app.send('GET', '/'), '{"message":"Hello"}\n');
    });

    it('GET / answers 200 whatever the query', async () => {
      expectJson(await app.send('GET', '/?a=1&b=%zz&__proto__=1'), '{"message":"Hello"}\n');
    });

    it.each<Record<string, string>>([
      { accept: 'text/html' },
      { accept: 'nonsense' },
      { 'accept-encoding': 'gzip, br' },
      { range: 'bytes=0-3' },
      { 'if-none-match': '*' },
      { 'x-http-method-override': 'DELETE' },
      { 'keep-alive': 'timeout=5' },
      { te: 'trailers', 'proxy-connection': 'close' },
      { upgrade: 'websocket' },
      { upgrade: 'h2c', connection: 'Upgrade, HTTP2-Settings', 'http2-settings': 'AAMAAABkAAQAAP__' },
      { constructor: 'x', 'x-forwarded-host': 'evil.example', forwarded: 'for=unknown' },
    ])('GET / answers the same with the header %o', async (headers) => {
      const answer = await app.send('GET', '/', { headers });
      expectJson(answer, '{"message":"Hello"}\n');
      expect(answer.headers).not.toHaveProperty('content-encoding');
    });
  });

  describe('GET /version', () => {
    it('GET /version answers 200 with the version', async () => {
      const answer = await app.send('GET', '/version');
      expectJson(answer, `{"version":"${JSON.parse(answer.body).version}"}\n`);
      expect(JSON.parse(answer.body).version).toMatch(/^\d+\.\d+\.\d+$/);
    });
  });
}
