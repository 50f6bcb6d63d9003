/**
 * The text after -o: names and values between commas, as mount(8) writes it. Double quotes protect commas, a backslash
 * protects the character after it.
 */
import { exitCode, MountError } from './exit.js'

export interface MountOption {
  readonly name: string
  /** Absent where there is no equals sign; empty where nothing follows it. */
  readonly value?: string
}

export function parseOptions(text: string): MountOption[] {
  return splitAtCommas(text)
    .filter((part) => part.text !== '')
    .map(({ text: part, equals }) =>
      equals < 0 ? { name: part } : { name: part.slice(0, equals), value: part.slice(equals) },
    )
}

/** The inverse of {@link parseOptions}, with a backslash before whatever it would take for syntax. */
export function formatOptions(options: readonly MountOption[]): string {
  return options
    .map(({ name, value }) => (value === undefined ? escaped(name) : `${escaped(name)}=${escaped(value)}`))
    .join(',')
}

/** @throws {MountError} where it has none. */
export function valueIn({ name, value }: MountOption): string {
  if (value === undefined || value === '') throw new MountError(`option '${name}' needs a value`, exitCode.usage)
  return value
}

/** Its name. @throws {MountError} where it has a value. */
export function withoutValue({ name, value }: MountOption): string {
  if (value !== undefined) throw new MountError(`option '${name}' takes no value`, exitCode.usage)
  return name
}

/**
 * The pieces without quotes and backslashes; `equals` is where the value starts (the sign itself is dropped), or −1.
 */
function splitAtCommas(text: string): { text: string; equals: number }[] {
  const parts: { text: string; equals: number }[] = []
  let part = { text: '', equals: -1 }
  let quoted = false
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at)
    if (character === '\\' && at + 1 < text.length) {
      part.text += text.charAt(++at)
    } else if (character === '"') {
      quoted = !quoted
    } else if (character === ',' && !quoted) {
      parts.push(part)
      part = { text: '', equals: -1 }
    } else if (character === '=' && part.equals < 0) {
      part.equals = part.text.length
    } else {
      part.text += character
    }
  }
  parts.push(part)
  return parts
}

function escaped(text: string): string {
  return text.replace(/[\\",=]/g, '\\$&')
}
