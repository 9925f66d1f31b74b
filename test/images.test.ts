import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { appendFile, chmod, cp, mkdtemp, readdir, readFile, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { GenericContainer, Wait } from 'testcontainers';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { basic } from './contract/suite.ts';
import { describeWithDocker } from './helpers/docker.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const base = 'gcr.io/distroless/nodejs26-debian13:nonroot';
const versions = ['1.0.0', '2.0.0'];
const worker = ['app/compare-worker.mjs', 'app/main.mjs'];
/** By image: all the files that it adds to its base, and how many bytes they may have. */
const contents: Record<string, { files: string[]; bytes: number }> = {
  monolith: { files: worker, bytes: 2e6 },
  hello: { files: ['app/main.mjs'], bytes: 2e6 },
  auth: { files: worker, bytes: 2e6 },
  certgen: { files: ['app/main.mjs'], bytes: 4e6 },
};
const names = Object.keys(contents);
const tags = names.flatMap((name) => versions.map((version) => `${name}:${version}`));
const secret = 'a secret for tests, of more than 32 bytes';

interface Image {
  Config: {
    User: string;
    Entrypoint: string[];
    Cmd: string[] | null;
    Env: string[];
    Labels: Record<string, string>;
    ExposedPorts?: Record<string, object>;
  };
  RootFS: { Layers: string[] };
}

interface Result {
  code: number | string;
  stdout: string;
  stderr: string;
}

function run(command: string, ...args: string[]): Promise<Result> {
  return new Promise((resolve) => {
    execFile(command, args, { cwd: root, maxBuffer: 1e9 }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stdout, stderr }),
    );
  });
}

async function succeed(command: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(command, ...args);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${stderr || stdout}`);
  return stdout.trim();
}

const docker = (...args: string[]) => succeed('docker', ...args);

async function inspect(image: string): Promise<Image> {
  const [found] = JSON.parse(await docker('image', 'inspect', image));
  return found;
}

/** Runs an image until it ends by itself. */
const runImage = (...args: string[]) => run('docker', 'run', '--rm', ...args);

/** As a pod of the workshop runs it: with a read-only root, without privileges, as a user that the image does not know. */
class HardenedContainer extends GenericContainer {
  constructor(image: string, ...flags: string[]) {
    super(image);
    this.hostConfig.ReadonlyRootfs = true;
    this.withUser('12345:12345').withDroppedCapabilities('ALL').withSecurityOpt('no-new-privileges').withCommand(flags);
  }
}

/** Starts a service that does not outlive its test; gives its container's id and where it answers. */
async function startImage(image: string, ...flags: string[]): Promise<{ id: string; url: string }> {
  const container = await new HardenedContainer(image, ...flags)
    .withExposedPorts(8080)
    .withWaitStrategy(Wait.forHttp('/version', 8080))
    .start();
  onTestFinished(async () => {
    await container.stop();
  });
  return { id: container.getId(), url: `http://${container.getHost()}:${container.getMappedPort(8080)}` };
}

interface Entry {
  path: string;
  mode: number;
  /** Seconds. */
  time: number;
  text: string;
}

/** What a layer holds: a tar archive (POSIX ustar), compressed or not. */
function entriesOf(layer: Buffer): Entry[] {
  const archive = layer.readUInt16BE(0) === 0x1f8b ? gunzipSync(layer) : layer;
  const entries: Entry[] = [];
  for (let at = 0; archive[at]; ) {
    const field = (from: number, length: number) =>
      archive.toString('latin1', at + from, at + from + length).replace(/\0.*/s, '');
    const number = (from: number, length: number) => Number.parseInt(field(from, length), 8);
    const size = number(124, 12);
    const text = archive.toString('latin1', at + 512, at + 512 + size);
    entries.push({ path: field(0, 100), mode: number(100, 8), time: number(136, 12), text });
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return entries;
}

const authorized = async (url: string, authorization: string) => {
  const answer = await fetch(url, { headers: { authorization } });
  expect(answer.status).toBe(200);
  return (await answer.json()) as Record<string, string>;
};

describeWithDocker('the images', () => {
  let baseLayers: string[];
  let directory: string;
  /** By tag: what it adds to its base. */
  const added = new Map<string, Entry[]>();

  beforeAll(async () => {
    baseLayers = (await inspect(base)).RootFS.Layers;
    directory = await mkdtemp(join(tmpdir(), 'kubernetes-101-'));
    await docker('save', '--output', join(directory, 'images.tar'), ...tags);
    await succeed('tar', '-xf', join(directory, 'images.tar'), '-C', directory);
    const manifest: { RepoTags: string[]; Layers: string[] }[] = JSON.parse(
      await readFile(join(directory, 'manifest.json'), 'utf8'),
    );
    for (const { RepoTags, Layers } of manifest) {
      const own = await Promise.all(Layers.slice(baseLayers.length).map((layer) => readFile(join(directory, layer))));
      for (const tag of RepoTags) added.set(tag, own.flatMap(entriesOf));
    }
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  describe.each(tags)('%s', (tag) => {
    const [name = '', version = ''] = tag.split(':');

    test('adds to the distroless base no more than its bundle', async () => {
      const { RootFS } = await inspect(tag);
      expect(RootFS.Layers.slice(0, baseLayers.length)).toEqual(baseLayers);
      const entries = added.get(tag) as Entry[];
      const files = entries.filter(({ path }) => !path.endsWith('/'));
      expect(files.map(({ path }) => path).sort()).toEqual(contents[name]?.files);
      expect(files.reduce((sum, { text }) => sum + text.length, 0)).toBeLessThan(contents[name]?.bytes ?? 0);
      // Readable for any user, and the same whenever it is built.
      for (const { path, mode, time } of entries)
        expect({ path, mode, time }).toEqual({ path, mode: path.endsWith('/') ? 0o755 : 0o644, time: 0 });
    });

    test('holds no source map, no path of the machine that built it, and no private key', () => {
      const text = (added.get(tag) as Entry[]).map((entry) => entry.text).join('');
      expect(text).not.toBe('');
      for (const unwanted of ['sourceMappingURL', root, '/source/', 'node_modules/', '/packages/'])
        expect(text.split(unwanted), unwanted).toHaveLength(1);
      expect(text).not.toMatch(/PRIVATE KEY-----\\?n?\s*[A-Za-z0-9+/=]{20}/);
    });

    test('runs one process, as a user with a number; arguments are its flags', async () => {
      const { Config } = await inspect(tag);
      expect(Config).toMatchObject({
        User: '65532:65532',
        Entrypoint: ['/nodejs/bin/node', '/app/main.mjs'],
        Cmd: null,
      });
      expect(await runImage(tag, '-help')).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(`^Usage: ${name} \\[`),
        stderr: '',
      });
      expect(await runImage(tag, '-no-such-flag')).toMatchObject({ code: 2, stdout: '' });
    });

    test('says what it is', async () => {
      const { Config } = await inspect(tag);
      const prefix = 'org.opencontainers.image';
      expect(Config.Labels).toEqual({
        [`${prefix}.title`]: name,
        [`${prefix}.description`]: expect.stringMatching(/^Kubernetes 101: ./),
        [`${prefix}.version`]: version,
        [`${prefix}.licenses`]: 'Apache-2.0',
      });
    });

    test('nothing ran in it while it was built: any machine can build it for any platform', async () => {
      const { RootFS } = await inspect(tag);
      const steps = (await docker('history', '--no-trunc', '--format', '{{.CreatedBy}}', tag)).split('\n');
      const own = steps.slice(0, steps.findIndex((step) => step.startsWith('USER 65532:65532')) + 1);
      expect(own.length).toBeGreaterThan(RootFS.Layers.length - baseLayers.length);
      expect(own.filter((step) => step.startsWith('RUN'))).toEqual([]);
    });
  });

  test.each(names)(
    '%s:1.0.0 and 2.0.0 hold the same files, and differ in what they say of their version',
    async (name) => {
      const [one, two] = await Promise.all([inspect(`${name}:1.0.0`), inspect(`${name}:2.0.0`)]);
      expect(two.RootFS).toEqual(one.RootFS);
      expect(JSON.stringify(two.Config).replaceAll('2.0.0', '1.0.0')).toBe(JSON.stringify(one.Config));
      expect(two.Config).not.toEqual(one.Config);
    },
  );

  test('there is no shell and no package manager', async () => {
    const container = await docker('create', 'monolith:1.0.0');
    const archive = join(directory, 'monolith.tar');
    try {
      await docker('export', '--output', archive, container);
    } finally {
      await docker('rm', container);
    }
    const paths = (await succeed('tar', '-tf', archive)).split('\n');
    expect(paths).toContain('nodejs/bin/node');
    const unwanted = /^(sh|bash|dash|ash|zsh|busybox|apt|apt-get|dpkg|apk|npm|npx|pnpm|yarn|corepack)$/;
    expect(paths.filter((path) => unwanted.test(basename(path)))).toEqual([]);
  });

  describe.each(versions)(
    'a container of version %s with a read-only root, an unknown user and no privileges',
    (version) => {
      test('the monolith: logs in, and ends with 0 when it is stopped', async () => {
        const { id, url } = await startImage(`monolith:${version}`);
        expect(await (await fetch(`${url}/version`)).json()).toEqual({ version });
        const { token } = await authorized(`${url}/login`, basic('user', 'password'));
        expect(await authorized(`${url}/secure`, `Bearer ${token}`)).toEqual({ message: 'Hello' });
        // Longer than any patience: what does not end by itself makes this test fail for its time, not with 137.
        await docker('stop', '-t', '300', id);
        expect(await docker('inspect', '--format', '{{.State.ExitCode}}', id)).toBe('0');
        expect(await docker('logs', id)).toMatch(/"msg":"stopped"}$/);
      });

      test('hello and auth: a token of one is good for the other', async () => {
        const [hello, auth] = await Promise.all(
          ['hello', 'auth'].map((name) => startImage(`${name}:${version}`, `-secret=${secret}`)),
        );
        const { token } = await authorized(`${auth?.url}/login`, basic('user', 'password'));
        expect(await authorized(`${hello?.url}/secure`, `Bearer ${token}`)).toEqual({ message: 'Hello' });
      });

      test('certgen: fills a directory', async () => {
        const container = await new HardenedContainer(`certgen:${version}`, '-out', '/out')
          .withTmpFs({ '/out': 'mode=1777' })
          .withWaitStrategy(Wait.forOneShotStartup())
          .start();
        onTestFinished(async () => {
          await container.stop();
        });
        const stdout = await docker('logs', container.getId());
        expect(stdout).toContain('made /out/tls/tls.crt');
      });
    },
  );
});

describeWithDocker('docker build', () => {
  // A machine that has built nothing yet downloads packages first.
  const timeout = 300_000;

  test.each(names)('the check of the Dockerfile has nothing to say about %s', async (name) => {
    expect(await docker('build', '--check', '--file', 'docker/Dockerfile', '--target', name, '.')).toContain(
      'no warnings found',
    );
  });

  /** Builds the monolith of a checkout; gives its layers, and which steps were taken from the cache. */
  async function build(checkout: string, ...flags: string[]): Promise<{ layers: string[]; cached: string[] }> {
    const tag = `img-${randomUUID()}`;
    const file = join(checkout, 'docker', 'Dockerfile');
    const args = [
      'build',
      '--progress',
      'plain',
      '--file',
      file,
      '--target',
      'monolith',
      '--tag',
      tag,
      ...flags,
      checkout,
    ];
    const { code, stderr } = await run('docker', ...args);
    if (code !== 0) throw new Error(stderr);
    onTestFinished(async () => {
      await docker('image', 'rm', tag);
    });
    const steps = new Map([...stderr.matchAll(/^#(\d+) (\[.*)$/gm)].map(([, id = '', step = '']) => [id, step]));
    const cached = [...stderr.matchAll(/^#(\d+) CACHED$/gm)].map(([, id = '']) => steps.get(id) ?? '');
    return { layers: (await inspect(tag)).RootFS.Layers, cached };
  }

  /** Another checkout of what is to be built, in which nobody else may read the sources, and all is of another time. */
  async function anotherCheckout(): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), 'kubernetes-101-'));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    for (const path of ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', 'packages', 'docker'])
      await cp(join(root, path), join(directory, path), {
        recursive: true,
        filter: (source) => basename(source) !== 'node_modules',
      });
    for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.name.endsWith('.ts')) await chmod(path, 0o600);
      await utimes(path, 1e9, 1e9);
    }
    return directory;
  }

  test('the same source makes the same layers, bytes, modes and times, from another checkout at another time', {
    timeout,
  }, async () => {
    const here = await build(root);
    const there = await build(await anotherCheckout(), '--no-cache-filter', 'build,monolith');
    expect(there.cached.filter((step) => step.includes('rolldown'))).toEqual([]);
    expect(there.layers).toEqual(here.layers);
  });

  test('a change in a source file makes another image, and installs nothing', { timeout }, async () => {
    const checkout = await anotherCheckout();
    await appendFile(join(checkout, 'packages/monolith/src/main.ts'), '\nprocess.stdout.write("changed");\n');
    const here = await build(root);
    const there = await build(checkout);
    expect(there.cached).toContainEqual(expect.stringContaining(' install '));
    expect(there.layers).not.toEqual(here.layers);
  });
});
