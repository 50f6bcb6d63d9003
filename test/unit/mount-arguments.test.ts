/** The words of the command line, in process. */
import fc from 'fast-check'
import t from 'tap'
import { type Arguments, parseCommandLine, separateValues, withoutNamespace } from '../../mount/arguments.js'
import { exitCode } from '../../mount/exit.js'

const parse = async (...argv: string[]): Promise<Arguments> => {
  const commandLine = await parseCommandLine(argv, '1.2.3')
  if ('text' in commandLine) throw new Error(`a text: ${commandLine.text}`)
  return commandLine.arguments
}

const plain: Arguments = {
  source: 'chfs',
  mountpoint: '/m',
  options: [],
  foreground: false,
  sloppy: false,
  fake: false,
  verbose: false,
  namespace: null,
}

t.test('words and what they say', async (t) => {
  const table: [string[], Partial<Arguments>][] = [
    [['/m'], {}],
    [['src', '/m'], { source: 'src' }],
    [['a,b[1-2],@hosts', '/m'], { source: 'a,b[1-2],@hosts' }],
    [['src', '/m', '-o', 'ro,store=/s'], { source: 'src', options: [{ name: 'ro' }, { name: 'store', value: '/s' }] }],
    [['-oro', '/m'], { options: [{ name: 'ro' }] }],
    [['-o', 'a', '/m', '-o', 'b'], { options: [{ name: 'a' }, { name: 'b' }] }],
    [['--options=a', '/m'], { options: [{ name: 'a' }] }],
    [['-F', '/m'], { foreground: true }],
    [['--foreground', '/m'], { foreground: true }],
    [['-sfnv', '/m'], { sloppy: true, fake: true, verbose: true }],
    [['-svoro', '/m'], { sloppy: true, verbose: true, options: [{ name: 'ro' }] }],
    [['-N', '12', '/m'], { namespace: '12' }],
    [['-vN', '/proc/1/ns/mnt', '/m'], { verbose: true, namespace: '/proc/1/ns/mnt' }],
    [['-t', 'chfs', '/m'], {}],
    [['-t', 'fuse.chfs', '/m'], {}],
    [['007'], { mountpoint: '007' }],
    [['--', '-m'], { mountpoint: '-m' }],
  ]
  for (const [argv, expected] of table) t.strictSame(await parse(...argv), { ...plain, ...expected }, argv.join(' '))
})

t.test('what is wrong is exit code 1 and one line', async (t) => {
  const table: [string[], RegExp][] = [
    [[], /mountpoint is missing/],
    [[''], /mountpoint is empty/],
    [['a', 'b', 'c d'], /too many arguments: 'c d'/],
    [['-t', 'nfs', '/m'], /'nfs' is not a type/],
    [['-X', '/m'], /unknown argument/i],
    [['--nonsense', '/m'], /unknown argument/i],
    [['/m', '-o'], /argument/i],
  ]
  for (const [argv, message] of table) {
    const error = await parse(...argv).then(
      () => null,
      (thrown: unknown) => thrown,
    )
    t.match(error, { message, exitCode: exitCode.usage }, argv.join(' '))
    t.notMatch((error as Error).message, /\n/)
  }
})

t.test('texts', async (t) => {
  t.strictSame(await parseCommandLine(['--version'], '1.2.3'), { text: '1.2.3' })
  for (const word of ['--help', '-h']) t.match(await parseCommandLine([word], '1'), { text: /usage: mount\.chfs/ })
})

t.test('without the namespace the words say the same', async (t) => {
  const table: [string[], string[]][] = [
    [['-N', '12', '/m'], ['/m']],
    [
      ['-vN', '12', '/m'],
      ['-v', '/m'],
    ],
    [['--namespace', '12', '/m'], ['/m']],
    [['--namespace=12', '/m'], ['/m']],
    [
      ['-o', '-N', '/m', '-N', '1'],
      ['-o', '-N', '/m'],
    ],
  ]
  for (const [argv, rest] of table) t.strictSame(withoutNamespace(argv), rest, argv.join(' '))
  const words = fc.array(
    fc.constantFrom(['-F'], ['-v'], ['-o', 'ro'], ['-oro'], ['-N', '1'], ['-N1'], ['-sN', '1'], ['-t', 'chfs']),
  )
  await fc.assert(
    fc.asyncProperty(words, async (groups) => {
      const argv = [...groups.flat(), '/m']
      const again = await parse(...withoutNamespace(separateValues(argv)))
      t.strictSame(again, { ...(await parse(...argv)), namespace: null })
    }),
    { numRuns: 30 },
  )
})
