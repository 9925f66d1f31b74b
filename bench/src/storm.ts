import type { Cores } from './cores.ts';
import { logIn, type Member } from './fleet.ts';
import type { Processes } from './processes.ts';
import { sum } from './statistics.ts';
import type { StormOrder, StormResult } from './storm-client.ts';
import { helper } from './subjects.ts';

/** `ofCeiling` is the share of the logins a second of what bcryptjs alone does on all cores. */
export type Storm = StormResult & { ofCeiling: number };

/** One storm of logins on a server that may use all cores, after a look at what those cores can do at best. */
export const storm = async (processes: Processes, cores: Cores, target: Member, seconds: number): Promise<Storm> => {
  const ceiling = () => processes.run([...cores.all, ...helper('bcrypt-ceiling.ts'), `${seconds}`]);
  const ceilings = await Promise.all(Array.from({ length: cores.count }, ceiling));
  const order: StormOrder = {
    app: target.origin,
    health: `http://${target.server.addresses.get('health')}`,
    token: await logIn(target.origin),
    seconds,
  };
  const output = await processes.run([...cores.all, ...helper('storm-client.ts'), JSON.stringify(order)]);
  const result = JSON.parse(output) as StormResult;
  return { ...result, ofCeiling: result.loginsPerSecond / sum(ceilings.map(Number)) };
};
