import { stressTest } from './stress.js'

stressTest(1)
