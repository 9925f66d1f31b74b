import { afterAll, beforeAll, describe } from 'vitest';
import { contract } from './contract/contract.ts';
import { monolithForm, splitForm } from './drivers/forms.ts';

for (const form of [monolithForm(), splitForm()]) {
  describe(form.target.name, () => {
    beforeAll(() => form.start(), 30_000);
    afterAll(() => form.stop(), 30_000);
    contract(form.target);
  });
}
