/** What stands behind -o, sizes and kernel flags: tables, and round trips for whatever anybody can type. */
import fc from 'fast-check'
import t from 'tap'
import { kernelFlagBits, kernelFlags } from '../../mount/kernel-flags.js'
import { formatOptions, type MountOption, parseOptions } from '../../mount/options.js'
import { parseSize } from '../../mount/sizes.js'

t.test('options are split at commas that nothing protects', async (t) => {
  const table: [string, MountOption[]][] = [
    ['', []],
    [',,', []],
    ['ro', [{ name: 'ro' }]],
    ['ro,store=/a', [{ name: 'ro' }, { name: 'store', value: '/a' }]],
    ['store=', [{ name: 'store', value: '' }]],
    ['a=b=c', [{ name: 'a', value: 'b=c' }]],
    ['store="/a,b",ro', [{ name: 'store', value: '/a,b' }, { name: 'ro' }]],
    ['store=/a\\,b', [{ name: 'store', value: '/a,b' }]],
    ['store=/a\\\\', [{ name: 'store', value: '/a\\' }]],
    ['store=/a\\', [{ name: 'store', value: '/a\\' }]],
    ['"store=/a', [{ name: 'store', value: '/a' }]],
  ]
  for (const [text, options] of table) t.strictSame(parseOptions(text), options, text)
})

t.test('what is formatted is parsed to the same', async () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'ü', ',', '"', '\\', '=', ' ', '\n') })
  const named = text.filter((name) => name !== '')
  const option = fc.oneof(fc.record({ name: named }), fc.record({ name: named, value: text }))
  fc.assert(
    fc.property(fc.array(option), (options) => {
      const parsed = parseOptions(formatOptions(options))
      t.strictSame(
        parsed,
        options.map((one) => ({ ...one })),
      )
    }),
  )
})

t.test('any text parses, and what it parses to is stable', async () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const options = parseOptions(text).filter(({ name, value }) => name !== '' || value !== undefined)
      t.strictSame(parseOptions(formatOptions(options)), options)
    }),
  )
})

t.test('sizes', async (t) => {
  const table: [string, number | null][] = [
    ['0', 0],
    ['4096', 4096],
    ['64K', 65536],
    ['64kib', 65536],
    ['4MiB', 4194304],
    [' 1g ', 1073741824],
    ['8t', 2 ** 43],
    ['4MB', null],
    ['4 MiB', null],
    ['', null],
    ['K', null],
    ['-1', null],
    ['1.5M', null],
    ['0x10', null],
    ['9007199254740991', 2 ** 53 - 1],
    ['9007199254740992', null],
    ['9999999T', null],
  ]
  for (const [text, bytes] of table) t.equal(parseSize(text), bytes, `'${text}'`)
})

t.test('every flag has a bit of its own, as mount(2) numbers them', async (t) => {
  let seen = 0
  for (const flag of kernelFlags.keys()) {
    const bits = kernelFlagBits([flag])
    t.equal(Math.log2(bits) % 1, 0, flag)
    t.equal(seen & bits, 0, `${flag} shares no bit`)
    seen |= bits
  }
  t.equal(kernelFlagBits([]), 0)
  t.equal(kernelFlagBits(['ro', 'nosuid', 'noatime']), 1 | 2 | 1024)
})
