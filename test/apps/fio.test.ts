import { fioTest } from './fio.js'

fioTest(12)
