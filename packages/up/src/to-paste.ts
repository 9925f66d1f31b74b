/** What to type next, for both forms. */
export function toPaste({
  monolith,
  hello,
  auth,
  edge,
}: {
  monolith: number;
  hello: number;
  auth: number;
  edge: number;
}): string {
  const form = (curl: string, url: string) => [
    `${curl} ${url}/`,
    `${curl} ${url}/version`,
    `${curl} -u user:password ${url}/login`,
    `TOKEN=$(${curl} -s -u user:password ${url}/login | sed 's/.*"token":"//; s/".*//')`,
    `${curl} -H "Authorization: Bearer $TOKEN" ${url}/secure`,
  ];
  const health = (port: number) => `curl -i http://127.0.0.1:${port + 1}/readiness`;
  const metrics = (port: number) =>
    `curl -s http://127.0.0.1:${port + 1}/metrics | grep http_request_duration_seconds_count`;
  const lines = [
    'Ready. In another terminal, from this folder:',
    '',
    '# the monolith',
    ...form('curl', `http://127.0.0.1:${monolith}`),
    health(monolith),
    metrics(monolith),
    '',
    '# hello and auth behind the edge',
    ...form('curl --cacert tls/ca.crt', `https://localhost:${edge}`),
    ...[hello, auth, edge].map(health),
    metrics(hello),
    '',
    'Ctrl-C here stops everything.',
  ];
  return `\n${lines.join('\n')}\n\n`;
}
