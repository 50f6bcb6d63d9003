import { sqliteTest } from './sqlite.js'

sqliteTest(1500)
