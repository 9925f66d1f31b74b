import { fileURLToPath } from 'node:url';

/** What raw-server.js repeats. */
export interface Answers {
  token: string;
  root: { headers: Record<string, string>; body: string };
  secure: { headers: Record<string, string>; body: string };
}

/** What commands need to know; `files` is where certgen wrote, `origin` that of a program started before. */
export interface Surroundings {
  files: string;
  origin: (program: string) => string;
  answers: () => Promise<Answers>;
}

/** Something to start; `path` is one that it answers with 200. */
export interface Program {
  name: string;
  scheme: 'http' | 'https';
  listeners: string[];
  path: string;
  command: (surroundings: Surroundings) => string[] | Promise<string[]>;
}

/** Something to put under load through `front`; its CPU time is that of all its `programs`. */
export interface Subject {
  name: string;
  front: string;
  programs: string[];
}

const repository = new URL('../../', import.meta.url);
const node = (path: string) => [process.execPath, fileURLToPath(new URL(path, repository))];

export const certgen = (directory: string): string[] => [...node('packages/certgen/src/main.ts'), '-out', directory];
export const helper = (file: string): string[] => node(`bench/src/${file}`);

const service = (name: string, path: string, flags: (surroundings: Surroundings) => string[]): Program => ({
  name,
  scheme: 'http',
  listeners: ['http', 'health'],
  path,
  command: (surroundings) => [
    ...node(`packages/${name}/src/main.ts`),
    ...['-http', '127.0.0.1:0', '-health', '127.0.0.1:0', ...flags(surroundings)],
  ],
});
const keys = ({ files }: Surroundings) => ['-keys', `${files}/keys`];

/** The program whose answers the yardstick repeats, and that the login storm hits. */
export const monolith: Program = service('monolith', '/', keys);

export const raw: Program = {
  name: 'raw',
  scheme: 'http',
  listeners: ['http'],
  path: '/',
  command: async ({ answers }) => [...helper('raw-server.js'), JSON.stringify(await answers())],
};

const edge = service('edge', '/', ({ files, origin }) => [
  ...['-tls', `${files}/tls`, '-hello', origin('hello'), '-auth', origin('auth')],
]);

/** Makes the bundles that the images hold. */
export const bundle = [
  'sh',
  '-c',
  `cd ${fileURLToPath(new URL('docker', repository))} && node_modules/.bin/rolldown --config`,
];

const bundled: Program = {
  ...monolith,
  name: 'monolith, bundled',
  command: (surroundings) => [
    ...node('docker/out/monolith/main.mjs'),
    ...['-http', '127.0.0.1:0', '-health', '127.0.0.1:0', ...keys(surroundings)],
  ],
};

/** In the order of their start. */
export const programs: Program[] = [
  monolith,
  bundled,
  raw,
  service('hello', '/', keys),
  service('auth', '/version', keys),
  { ...edge, scheme: 'https' },
];

/** What is compared with raw; a further form is a further line here, and its programs above. */
export const subjects: Subject[] = [
  { name: 'monolith', front: 'monolith', programs: ['monolith'] },
  { name: 'hello', front: 'hello', programs: ['hello'] },
  { name: 'hello + auth behind the edge (TLS)', front: 'edge', programs: ['edge', 'hello', 'auth'] },
];
