import type { Case } from '../twin.js'
import { attributeCases } from './attributes.js'
import { dataCases } from './data.js'
import { nameCases } from './names.js'
import { permissionCases } from './permissions.js'
import { xattrCases } from './xattrs.js'

export const allCases: readonly Case[] = [
  ...nameCases,
  ...attributeCases,
  ...permissionCases,
  ...xattrCases,
  ...dataCases,
]
