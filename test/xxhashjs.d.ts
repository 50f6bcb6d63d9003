declare module 'xxhashjs' {
  export function h32(input: ArrayBuffer, seed: number): { toNumber(): number }
}
