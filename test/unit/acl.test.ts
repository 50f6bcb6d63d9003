import fc from 'fast-check'
import t from 'tap'
import { type Acl, chmodAcl, formatAcl, inheritAcl, isMinimal, modeOf, parseAcl } from '../../lib/share/acl.js'

const NOBODY = 0xffffffff
const [USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER] = [1, 2, 4, 8, 16, 32]

const permissions = fc.nat(7)
const named = (tag: number): fc.Arbitrary<Acl> =>
  fc.array(fc.record({ tag: fc.constant(tag), permissions, id: fc.nat(1000) }), { maxLength: 3 })
const single = (tag: number): fc.Arbitrary<Acl> => permissions.map((permissions) => [{ tag, permissions, id: NOBODY }])

/** Valid lists: a mask where there are named entries, or (at times) without. */
const anyAcl: fc.Arbitrary<Acl> = fc
  .tuple(single(USER_OBJ), named(USER), single(GROUP_OBJ), named(GROUP), single(MASK), single(OTHER), fc.boolean())
  .map(([owner, users, group, groups, mask, other, masked]) => {
    const needsMask = masked || users.length > 0 || groups.length > 0
    return [...owner, ...users, ...group, ...groups, ...(needsMask ? mask : []), ...other]
  })

const copy = (acl: Acl): Acl => acl.map((entry) => ({ ...entry }))

t.test('a list is read back as it was written', async () => {
  fc.assert(fc.property(anyAcl, (acl) => JSON.stringify(parseAcl(formatAcl(acl))) === JSON.stringify(acl)))
})

t.test('a list that is cut short, out of order or incomplete is refused', async () => {
  fc.assert(
    fc.property(anyAcl, fc.nat(1000), (acl, chance) => {
      const value = formatAcl(acl)
      const length = chance % value.length
      const cut = parseAcl(value.subarray(0, length))
      // Only the empty list is shorter and valid.
      if (cut !== null && cut.length > 0) return false
      const required = acl.filter(({ tag }) => tag === USER_OBJ || tag === GROUP_OBJ || tag === OTHER)
      const dropped = required[chance % required.length]
      const incomplete = parseAcl(formatAcl(acl.filter((entry) => entry !== dropped)))
      return incomplete === null && parseAcl(formatAcl([...acl].reverse())) === null
    }),
  )
})

t.test('other versions, permissions and tags are refused', async (t) => {
  const acl: Acl = [
    { tag: USER_OBJ, permissions: 7, id: NOBODY },
    { tag: GROUP_OBJ, permissions: 5, id: NOBODY },
    { tag: OTHER, permissions: 5, id: NOBODY },
  ]
  const changed = (at: number, byte: number): Uint8Array => {
    const value = formatAcl(acl)
    value[at] = byte
    return value
  }
  t.not(parseAcl(formatAcl(acl)), null)
  t.equal(parseAcl(changed(0, 1)), null, 'version 1')
  t.equal(parseAcl(changed(6, 8)), null, 'permission 8')
  t.equal(parseAcl(changed(4, 3)), null, 'tag 3')
  t.strictSame(parseAcl(formatAcl([])), [], 'an empty list takes the list away')
})

t.test('chmod sets what stat shows, and leaves named entries alone', async () => {
  fc.assert(
    fc.property(anyAcl, fc.nat(0o777), (acl, mode) => {
      const changed = copy(acl)
      chmodAcl(changed, mode)
      const isNamed = ({ tag }: { tag: number }): boolean => tag === USER || tag === GROUP
      const untouched = JSON.stringify(changed.filter(isNamed)) === JSON.stringify(acl.filter(isNamed))
      return modeOf(changed) === mode && untouched
    }),
  )
})

t.test('a new file has no right that its directory or its maker does not give', async () => {
  fc.assert(
    fc.property(anyAcl, fc.nat(0o777), (acl, mode) => {
      const inherited = copy(acl)
      const bits = inheritAcl(inherited, mode)
      const narrower = inherited.every(({ permissions }, index) => {
        const before = acl[index]?.permissions ?? 0
        return (permissions & ~before) === 0
      })
      return bits === modeOf(inherited) && (bits & ~mode) === 0 && bits === (modeOf(acl) & mode) && narrower
    }),
  )
})

t.test('three entries are what a mode can say', async () => {
  fc.assert(fc.property(anyAcl, (acl) => isMinimal(acl) === acl.every(({ tag }) => ![USER, GROUP, MASK].includes(tag))))
})
