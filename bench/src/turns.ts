import { mean } from './statistics.ts';

type Figures<K extends string> = Record<K, number>;
type Measure<K extends string> = () => Promise<Figures<K>>;

const divide = <K extends string>(own: Figures<K>, yardsticks: Figures<K>[]): Figures<K> => {
  const names = Object.keys(own) as K[];
  const ratios = names.map((name) => [name, own[name] / mean(yardsticks.map((yardstick) => yardstick[name]))]);
  return Object.fromEntries(ratios);
};

/**
 * Measures candidates in turns with a yardstick, and divides each by the yardstick just before and just after it: what
 * else the machine does meanwhile hits both alike.
 * @returns the ratios of all rounds by candidate; under '' those of the yardstick to itself a turn earlier: the noise.
 */
export const compareInTurns = async <K extends string>(
  rounds: number,
  yardstick: Measure<K>,
  candidates: Map<string, Measure<K>>,
): Promise<Map<string, Figures<K>[]>> => {
  const ratios = new Map<string, Figures<K>[]>(['', ...candidates.keys()].map((name) => [name, []]));
  let before = await yardstick();
  for (let round = 0; round < rounds; round++) {
    for (const [name, measure] of candidates) {
      const own = await measure();
      const after = await yardstick();
      ratios.get(name)?.push(divide(own, [before, after]));
      ratios.get('')?.push(divide(after, [before]));
      before = after;
    }
  }
  return ratios;
};
