import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

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
