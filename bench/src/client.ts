import { once } from 'node:events';
import { type IncomingHttpHeaders, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { text } from 'node:stream/consumers';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

/** GETs a URL over a connection of its own. Certificates are not checked: every server here is one that we started. */
export const get = async (url: string, headers: Record<string, string> = {}): Promise<Answer> => {
  const options = { headers, agent: false, rejectUnauthorized: false };
  const request = url.startsWith('https:') ? requestHttps(url, options) : requestHttp(url, options);
  const [response] = await once(request.end(), 'response');
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
};

/** GETs a URL and refuses any answer but 200. */
export const getOk = async (url: string, headers: Record<string, string> = {}): Promise<Answer> => {
  const answer = await get(url, headers);
  if (answer.status !== 200) throw new Error(`${url} answered ${answer.status}: ${answer.body.trim()}`);
  return answer;
};

export const basic = { authorization: `Basic ${btoa('user:password')}` };
export const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
