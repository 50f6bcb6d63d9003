/** sqlite3 on several nodes: with a rollback journal at once, with a write-ahead log one after the other. */
import { sqliteClusterTest } from './sqlite.js'

sqliteClusterTest(60)
