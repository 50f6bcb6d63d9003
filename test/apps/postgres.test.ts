import { postgresTest } from './postgres.js'

postgresTest(5, 2)
