/**
 * An ordinary user mounts through fusermount3. The test itself runs as root, in order to become that user; it does so in
 * a mount namespace where /dev/fuse is open to all, as it is on most systems.
 */
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isAlive, main, Place, Running, run, type Scope, titleOf, until } from './command-helper.js'

const NOBODY = 65534

/** A place of nobody's, and a namespace in which commands run as that user, or as root. */
class UserPlace extends Place {
  readonly home: string
  #namespace: Running | null = null

  constructor(t: Scope) {
    super(t)
    this.home = join(this.directory, 'home')
    mkdirSync(this.home)
    for (const path of [this.directory, this.mountpoint, this.home]) chownSync(path, NOBODY, NOBODY)
    t.teardown(async () => {
      this.#namespace?.child.kill('SIGKILL')
      await this.#namespace?.ended
    })
  }

  /** `fuseConf` takes the place of /etc/fuse.conf. */
  async enter(fuseConf: string): Promise<void> {
    const conf = join(this.directory, 'fuse.conf')
    writeFileSync(conf, fuseConf)
    const script = `
      mknod -m 666 "$1.fuse" c 10 229 && mount --bind "$1.fuse" /dev/fuse && rm "$1.fuse"
      mount --bind "$1/fuse.conf" /etc/fuse.conf
      echo ready; exec sleep 600`
    const unshare = ['unshare', '--mount', '--propagation', 'private', 'sh', '-ec', script, 'sh', this.directory]
    this.#namespace = new Running(unshare)
    await until(() => this.#namespace?.stdout === 'ready\n')
  }

  asRoot(...command: string[]) {
    return run(command, { launcher: this.#launcher() })
  }

  asUser(...command: string[]) {
    return run(command, {
      launcher: [...this.#launcher(), 'setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'],
      env: { HOME: this.home, XDG_RUNTIME_DIR: this.home },
    })
  }

  mountAsUser(options: string, ...more: string[]) {
    const list = `store=${this.store}${options && `,${options}`}`
    return this.asUser(process.execPath, main, ...more, '-o', list, this.mountpoint)
  }

  async types(): Promise<string> {
    return (await this.asUser('findmnt', '-rno', 'FSTYPE,OPTIONS', this.mountpoint)).stdout
  }

  #launcher(): string[] {
    return ['nsenter', `--mount=/proc/${this.#namespace?.pid}/ns/mnt`]
  }
}

t.test('a user mounts, uses and unmounts', async (t) => {
  const place = new UserPlace(t)
  await place.enter('')
  t.strictSame(await place.mountAsUser(''), { code: 0, signal: null, stdout: '', stderr: '' })
  const pid = place.server()
  t.equal(titleOf(pid), `mount.chfs chfs ${place.mountpoint}`)
  t.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^Uid:\t65534\t65534/m)
  t.match(await place.types(), /^fuse\.chfs rw,nosuid,nodev,\S*user_id=65534/)
  t.notMatch(await place.types(), /allow_other/)
  const script = `cd "$1" && echo hello >file && ln file link && mv link other && setfattr -n user.a -v b other &&
    chmod 600 file && stat -c '%U %h %a' other && cat other && mkdir d && ls && rm -r file d && df . >/dev/null`
  t.strictSame(await place.asUser('sh', '-c', script, 'sh', place.mountpoint), {
    code: 0,
    signal: null,
    stdout: 'nobody 2 600\nhello\nd\nfile\nother\n',
    stderr: '',
  })
  const device = await place.asUser('mknod', `${place.mountpoint}/null`, 'c', '1', '3')
  t.match(device, { code: 1, stderr: /not permitted/ })
  t.match(await place.asUser('mknod', `${place.mountpoint}/pipe`, 'p'), { code: 0 })
  t.match(await place.asRoot('ls', place.mountpoint), { code: 2, stderr: /denied/ }, 'not even root may look in')
  t.match(await place.mountAsUser(''), { code: 32, stderr: /is busy: chfs is already mounted there/ })
  t.match(await place.asUser('umount', place.mountpoint), { code: 0, stderr: '' })
  await until(() => !isAlive(pid))
  t.equal(await place.types(), '')
  t.match(await place.mountAsUser(''), { code: 0, stderr: '' })
  t.match(await place.asUser('cat', `${place.mountpoint}/other`), { stdout: 'hello\n' })
  t.match(await place.asUser('fusermount3', '-u', place.mountpoint), { code: 0 })
})

t.test('SIGTERM ends a mount of a user in order', async (t) => {
  const place = new UserPlace(t)
  await place.enter('')
  await place.mountAsUser('')
  const pid = place.server()
  process.kill(pid, 'SIGTERM')
  await until(() => !isAlive(pid))
  t.equal(await place.types(), '')
  t.strictSame(
    place.log().map(({ msg }) => msg),
    ['mounted', 'ending', 'drained'],
  )
})

t.test('the umount helper waits as a user too', async (t) => {
  const place = new UserPlace(t)
  await place.enter('')
  await place.mountAsUser('')
  const pid = place.server()
  const helper = join(import.meta.dirname, '../../../scripts/umount.fuse.chfs')
  t.ok(existsSync(join(place.home, 'chfs')), 'its run files are its own')
  t.match(await place.asUser(helper, place.mountpoint), { code: 0, stderr: '' })
  t.notOk(isAlive(pid))
})

t.test('allow_other needs user_allow_other, and falls back with one line in the log', async (t) => {
  const place = new UserPlace(t)
  await place.enter('# user_allow_other\n')
  t.match(await place.mountAsUser('allow_other'), { code: 0, stderr: '' })
  t.notMatch(await place.types(), /allow_other/)
  await place.asUser('umount', place.mountpoint)
  const warnings = place.log().filter(({ level }) => Number(level) >= 40)
  t.match(warnings, [{ msg: /allow_other is left out/ }])
  t.equal(warnings.length, 1)
  await until(() => !place.isServed)
  const open = new UserPlace(t)
  await open.enter('user_allow_other\n')
  t.match(await open.mountAsUser('allow_other'), { code: 0, stderr: '' })
  t.match(await open.types(), /allow_other/)
  t.match(await open.asRoot('ls', open.mountpoint), { code: 0 })
  await open.asUser('umount', open.mountpoint)
})

t.test('a dead mount of a user is cleared and mounted again', async (t) => {
  const place = new UserPlace(t)
  await place.enter('')
  await place.mountAsUser('')
  await place.asUser('sh', '-c', 'echo kept >"$1/file"', 'sh', place.mountpoint)
  const pid = place.server()
  process.kill(pid, 'SIGKILL')
  await until(() => !isAlive(pid))
  t.match(await place.mountAsUser(''), { code: 0, stderr: /is a dead mount of chfs: taking it away/ })
  t.match(await place.asUser('cat', `${place.mountpoint}/file`), { stdout: 'kept\n' })
  t.equal((await place.types()).trim().split('\n').length, 1)
  await place.asUser('umount', place.mountpoint)
})

t.test('what a user may not do is one line', async (t) => {
  const place = new UserPlace(t)
  await place.enter('')
  chownSync(place.mountpoint, 0, 0)
  const outcome = await place.mountAsUser('')
  t.match(outcome, { code: 32, stdout: '', stderr: /^mount\.chfs: fusermount3 did not mount: [^\n]+\n$/ })
  t.equal(await place.types(), '')
  chownSync(place.mountpoint, NOBODY, NOBODY)
  chownSync(place.store, 0, 0)
  const foreign = await place.mountAsUser('')
  t.match(foreign, { stdout: '', stderr: /^mount\.chfs: (?!internal)[^\n]+\n$/ })
  t.not(foreign.code, 0)
})

t.test('the store of a user is in the home directory', async (t) => {
  const place = new UserPlace(t)
  await place.enter('')
  const words = [process.execPath, main, place.mountpoint]
  t.match(await place.asUser(...words), { code: 0, stderr: '' })
  t.ok(existsSync(join(place.home, '.local/state/chfs/superblock')))
  await place.asUser('umount', place.mountpoint)
})
