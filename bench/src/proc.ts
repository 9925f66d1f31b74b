import { readFileSync } from 'node:fs';

const read = (pid: number, file: string): string =>
  process.platform === 'linux' ? readFileSync(`/proc/${pid}/${file}`, 'utf8') : '';

/**
 * User and system time of a process and its threads so far, in seconds, from the text of proc_pid_stat(5). The clock of
 * that file ticks 100 times a second on every architecture that Node runs on. NaN where there is no /proc.
 */
export const parseCpuSeconds = (stat: string): number => {
  // The command, in parentheses, may itself hold blanks and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
};

/** Resident memory in bytes, now (VmRSS) and at its highest (VmHWM), from proc_pid_status(5); NaN where there is no /proc. */
export const parseMemory = (status: string): { resident: number; peak: number } => {
  const bytes = (name: string) => Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
  return { resident: bytes('VmRSS'), peak: bytes('VmHWM') };
};

export const cpuSeconds = (pid: number): number => parseCpuSeconds(read(pid, 'stat'));
export const memory = (pid: number): { resident: number; peak: number } => parseMemory(read(pid, 'status'));
