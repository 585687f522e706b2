export const root: string;
export const version: string;
export const isClone: boolean;
export const setupCommand: string;
export const venvPython: string;
export const compiledFolder: string;
