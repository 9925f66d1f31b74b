import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  type KubernetesObject,
  loadAllYaml,
  type V1Container,
  type V1Deployment,
  type V1Pod,
} from '@kubernetes/client-node';
import { describe, expect, test } from 'vitest';

const root = new URL('..', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');

/** The ConfigMaps of nginx, each with the folder of docker/nginx that it holds. */
const configMaps = {
  'nginx-shared-conf': ['shared', ['nginx.conf', 'problem.conf']],
  'nginx-frontend-conf': ['frontend', ['frontend.conf']],
  'nginx-proxy-conf': ['proxy', ['proxy.conf']],
} as const;

const indent = (text: string) => text.replace(/^(?=.)/gm, '    ');

test('the ConfigMaps hold the nginx configuration of docker/nginx (after a change there: vitest run test/manifests.test.ts -u)', async () => {
  const documents = Object.entries(configMaps).map(([name, [folder, files]]) => {
    const data = files.map((file) => `  ${file}: |\n${indent(read(`docker/nginx/${folder}/${file}`))}`);
    const head = `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\n`;
    return `${head}  labels: { app.kubernetes.io/part-of: kubernetes-101 }\ndata:\n${data.join('')}`;
  });
  const intro =
    '# The configuration of nginx, as it lies in docker/nginx, where it is changed; a test holds the two together.\n';
  await expect(intro + documents.join('---\n')).toMatchFileSnapshot('../k8s/20-nginx-configuration.yaml');
});

const files = globSync('k8s/{,pods/,services/,deployments/}*.yaml', { cwd: fileURLToPath(root) }).sort();
const core = files
  .filter((file) => file.split('/').length === 2)
  .flatMap((file) => loadAllYaml(read(file)) as KubernetesObject[]);

test('kube-score has no critical and no warning', ({ skip }) => {
  // Every file at once: it asks for a policy and a disruption budget of each pod.
  const args = ['score', '--kubernetes-version', 'v1.36', '--output-format', 'ci', ...files];
  const { error, stdout } = spawnSync('kube-score', args, { cwd: fileURLToPath(root), encoding: 'utf8' });
  skip(error !== undefined, 'kube-score is not there: go install github.com/zegl/kube-score/cmd/kube-score@latest');
  const lines = stdout.split('\n');
  expect(lines.filter((line) => line.startsWith('[OK]')).length).toBeGreaterThan(files.length);
  expect(lines.filter((line) => /^\[(CRITICAL|WARNING)\]/.test(line))).toEqual([]);
});

test('the core set names no namespace, and all of it says what it is part of', () => {
  for (const { metadata } of core) {
    expect(metadata).not.toHaveProperty('namespace');
    expect(metadata?.labels).toHaveProperty('app.kubernetes.io/part-of', 'kubernetes-101');
  }
});

describe('what the labs apply is what the core set has', () => {
  const ofCore = <T>(kind: string, name: string) =>
    structuredClone(core.find((object) => object.kind === kind && object.metadata?.name === name)) as T;
  const ofLabs = <T>(path: string) => loadAllYaml(read(`k8s/${path}.yaml`)) as T[];
  /** The labs run in namespaces without the core set's account. */
  const withoutAccount = (spec: object = {}) => Object.assign(spec, { serviceAccountName: undefined });

  test.each(['monolith', 'auth', 'hello', 'frontend'])('services/%s', (name) => {
    expect(ofLabs(`services/${name}`)).toEqual([ofCore('Service', name)]);
  });

  const deployment = (name: string) => {
    const object = ofCore<V1Deployment>('Deployment', name);
    withoutAccount(object.spec?.template.spec);
    return object;
  };

  test.each(['auth', 'hello', 'frontend'])('deployments/%s', (name) => {
    expect(ofLabs(`deployments/${name}`)).toEqual([deployment(name)]);
  });

  test.each([
    ['canary', 1],
    ['green', 2],
  ] as const)('deployments/hello-%s, but for name, track, version and number', (track, replicas) => {
    const text = JSON.stringify(deployment('hello')).replaceAll('1.0.0', '2.0.0').replaceAll('"stable"', `"${track}"`);
    const { spec, metadata, ...rest } = JSON.parse(text);
    expect(ofLabs(`deployments/hello-${track}`)).toEqual([
      {
        ...rest,
        metadata: { ...metadata, name: `hello-${track}`, annotations: expect.anything() },
        spec: { ...spec, replicas },
      },
    ]);
  });

  test('pods/secure-monolith, but for its name, the keys, and the label that is for the learner to set', () => {
    const pod = ofCore<V1Pod>('Pod', 'monolith');
    withoutAccount(pod.spec);
    const { spec } = pod;
    const [container] = spec?.containers ?? [];
    if (spec === undefined || container === undefined) throw new Error('the monolith has no container');
    pod.metadata = { ...pod.metadata, name: 'secure-monolith' };
    delete pod.metadata.labels?.secure;
    spec.volumes = spec.volumes?.filter(({ name }) => name !== 'jwt-keys') ?? [];
    container.args = container.args?.filter((flag) => !flag.startsWith('-keys')) ?? [];
    delete container.volumeMounts;
    expect(ofLabs('pods/secure-monolith')).toEqual([pod]);
  });

  test('pods/healthy-monolith has no nginx and listens for all; pods/monolith has no probes either', () => {
    const [secure, healthy, plain] = ['secure-monolith', 'healthy-monolith', 'monolith'].map(
      (name) => ofLabs<V1Pod>(`pods/${name}`)[0]?.spec,
    );
    const { initContainers: _nginx, volumes: _volumes, containers = [], securityContext, ...rest } = secure ?? {};
    const { fsGroup: _group, ...security } = securityContext ?? {};
    const [container] = containers;
    const args = container?.args?.map((flag) => flag.replace('=127.0.0.1:', '=:'));
    expect(healthy).toEqual({ ...rest, securityContext: security, containers: [{ ...container, args }] });
    const unasked: Partial<V1Container> = { ...healthy?.containers[0] };
    for (const name of ['startupProbe', 'livenessProbe', 'readinessProbe', 'lifecycle'] as const) delete unasked[name];
    expect(plain).toEqual({ ...healthy, containers: [unasked] });
  });
});
