import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { type ConnectionOptions, connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { contract } from './contract/contract.ts';
import { run, Stack } from './drivers/containers.ts';
import { makeMaterials } from './drivers/materials.ts';
import { describeWithDocker } from './helpers/docker.ts';

describeWithDocker('docker compose', () => {
  // The contract sends hundreds of logins from one address; test/faults.test.ts is about the limit.
  const stack = new Stack({ hellos: 2, loginRate: 1000 });
  beforeAll(() => stack.start(), 600_000);
  afterAll(() => stack.stop(), 60_000);

  for (const target of stack.targets) contract(target);

  test('no container may do more than it has to', async () => {
    const ids = (await stack.compose('ps', '--all', '--quiet')).trim().split('\n');
    const containers = JSON.parse(await run('docker', ['inspect', ...ids]));
    expect(containers.length).toBe(7);
    for (const { Name: name, Config: config, HostConfig: limits, Mounts: mounts } of containers) {
      expect(limits, name).toMatchObject({
        ReadonlyRootfs: true,
        CapAdd: null,
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges'],
        Privileged: false,
        Memory: expect.toSatisfy((bytes: number) => bytes > 0),
      });
      expect(config.User, name).toBe('65532:65532');
      const bindings = Object.values(limits.PortBindings as Record<string, { HostIp: string }[]>).flat();
      expect(new Set(bindings.map(({ HostIp: address }) => address)), name).toEqual(
        new Set(bindings.length > 0 ? ['127.0.0.1'] : []),
      );
      const volumes: string[] = mounts.map((mount: { Name?: string }) => mount.Name?.replace(/.*_/, '')).sort();
      if (!name.includes('certgen')) expect(volumes, name).not.toContain('ca');
    }
  });

  describe('nginx', () => {
    test.each(['frontend', 'proxy'])('has nothing to say about the configuration of %s', async (service) => {
      const { id } = stack.one(service);
      const said = await run('docker', ['exec', id, 'sh', '-c', 'nginx -c /etc/nginx/shared/nginx.conf -t 2>&1']);
      expect(said).toMatch(/^.* syntax is ok\n.* test is successful\n$/);
    });

    test('has nothing to say as another user', async () => {
      const { tls, remove } = await makeMaterials();
      try {
        await chmod(join(tls, 'tls.key'), 0o644);
        const folder = (name: string) => fileURLToPath(new URL(`../docker/nginx/${name}`, import.meta.url));
        const mounts = [
          `${folder('shared')}:/etc/nginx/shared`,
          `${folder('proxy')}:/etc/nginx/conf.d`,
          `${tls}:/etc/tls`,
        ];
        const volumes = mounts.map((mount) => `--volume=${mount}:ro`);
        const limits = ['--user=12345:12345', '--read-only', '--tmpfs=/tmp', '--cap-drop=ALL', '--network=none'];
        const command = ['-c', 'nginx -c /etc/nginx/shared/nginx.conf -t 2>&1'];
        const image = ['--entrypoint=sh', 'nginxinc/nginx-unprivileged:1.30'];
        const said = await run('docker', ['run', '--rm', ...limits, ...volumes, ...image, ...command]);
        expect(said).toMatch(/^.* syntax is ok\n.* test is successful\n$/);
      } finally {
        await remove();
      }
    });

    /** The protocol and the cipher that a handshake ends with. @throws when nginx refuses */
    async function handshake(options: ConnectionOptions): Promise<string> {
      const { hostname: host, port } = new URL(stack.urlOf('frontend'));
      const socket = connect({ host, port: Number(port), ca: stack.ca, ...options });
      await once(socket, 'secureConnect');
      const text = `${socket.getProtocol()} ${socket.getCipher().name}`;
      socket.destroy();
      return text;
    }

    test('speaks TLS 1.2 and 1.3', async () => {
      expect(await handshake({ maxVersion: 'TLSv1.2' })).toBe('TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256');
      expect(await handshake({ minVersion: 'TLSv1.3' })).toMatch(/^TLSv1\.3 TLS_/);
    });

    test.each<[string, ConnectionOptions]>([
      ['TLS 1.1', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' }],
      ['a cipher without AEAD', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA' }],
      // Level 0, so that the client offers what is too old for it.
    ])('does not speak %s', async (_case, options) => {
      await expect(handshake(options)).rejects.toThrow(/alert (protocol version|handshake failure)/);
    });
  });
});
