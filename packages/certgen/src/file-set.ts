/** Texts by their path below the output directory, such as `tls/tls.crt`. Each folder holds what fits one Secret. */
export type Files = ReadonlyMap<string, string>;

/** A file as it has to be, with the reason why its text was made, if it was: "was missing". */
export interface Entry {
  path: string;
  text: string;
  why?: string | undefined;
}

/** Names of files that are looked at: not hidden ones, nor editors' copies, nor a volume's lost+found. */
export const ownName = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

/** What certgen cannot, or must not, put right by itself. The message says what is wrong and what to do. */
export class FileProblem extends Error {
  readonly path: string;

  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
}
