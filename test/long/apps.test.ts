/** The programs of test/apps whose work can be made longer. */
import { fioTest } from '../apps/fio.js'
import { postgresTest } from '../apps/postgres.js'
import { sqliteTest } from '../apps/sqlite.js'
import { stressTest } from '../apps/stress.js'

fioTest(64)
stressTest(20)
sqliteTest(10_000)
postgresTest(120, 10)
