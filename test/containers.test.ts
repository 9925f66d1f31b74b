import { afterAll, beforeAll, expect, test } from 'vitest';
import { contract } from './contract/contract.ts';
import { run, Stack } from './drivers/containers.ts';
import { describeWithDocker } from './helpers/docker.ts';

describeWithDocker('docker compose', () => {
  // The contract sends hundreds of logins from one address; test/faults.test.ts is about the limit.
  const stack = new Stack({ hellos: 2, loginRate: 1000 });
  beforeAll(() => stack.start(), 600_000);
  afterAll(() => stack.stop(), 60_000);

  test.each(['frontend', 'proxy'])('nginx has nothing to say about the configuration of %s', async (service) => {
    const { id } = stack.one(service);
    const said = await run('docker', ['exec', id, 'sh', '-c', 'nginx -c /etc/nginx/shared/nginx.conf -t 2>&1']);
    expect(said).toMatch(/^.* syntax is ok\n.* test is successful\n$/);
  });

  for (const target of stack.targets) contract(target);
});
