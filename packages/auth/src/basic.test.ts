import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseBasic } from './basic.ts';

const encode = (text: string | Uint8Array) => Buffer.from(text as string).toString('base64');
const basic = (text: string | Uint8Array) => `Basic ${encode(text)}`;

test('the credentials are split at the first colon', () => {
  expect(parseBasic(basic('user:pass:word'))).toEqual({ name: 'user', password: 'pass:word' });
  expect(parseBasic(basic(':'))).toEqual({ name: '', password: '' });
});

test('the scheme may be in any case, blanks may follow it, and the padding may be left out', () => {
  for (const header of ['basic dTpw', 'BASIC   dTpw', 'Basic dTpwcA', 'Basic dTpwcA=='])
    expect(parseBasic(header)?.name).toBe('u');
});

test('the credentials are UTF-8, as in the example of RFC 7617', () => {
  expect(parseBasic('Basic dGVzdDoxMjPCow==')).toEqual({ name: 'test', password: '123£' });
});

test.for<[string, string | undefined]>([
  ['no header', undefined],
  ['an empty one', ''],
  ['another scheme', `Bearer ${encode('user:password')}`],
  ['a scheme that only begins alike', `Basics ${encode('user:password')}`],
  ['no credentials', 'Basic '],
  ['no colon', basic('user')],
  ['no base64', 'Basic user:password'],
  ['more than one word', `${basic('user:password')} more`],
  ['base64url', 'Basic Pz8_Oj8_'],
  ['too much padding', 'Basic dTpw==='],
  ['a NUL, which bcrypt would end at', basic('user:password\0password')],
  ['a newline', basic('user:password\n')],
  ['a control in the name', basic('us\x7fer:password')],
  ['a control beyond ASCII', basic('user:pass\x85word')],
  ['bytes that are no UTF-8', basic(Uint8Array.of(0x75, 0x3a, 0xa3))],
  ['half a character', basic(Buffer.from('u:£').subarray(0, 3))],
])('%s holds no credentials', ([, header]) => expect(parseBasic(header)).toBeUndefined());

test('all credentials without controls, and without a colon in the name, come back as they were sent', () => {
  const allowed = fc.oneof(fc.string({ unit: 'grapheme' }), fc.string()).filter((text) => !/\p{Cc}/u.test(text));
  const name = allowed.filter((text) => !text.includes(':'));
  fc.assert(
    fc.property(name, allowed, (name, password) => {
      expect(parseBasic(basic(`${name}:${password}`))).toEqual({ name, password });
    }),
  );
});

test('no header fails', () => {
  fc.assert(fc.property(fc.string(), (text) => void parseBasic(text)));
  fc.assert(fc.property(fc.uint8Array(), (bytes) => void parseBasic(basic(bytes))));
});
