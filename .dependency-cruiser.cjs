/**
 * Who may import whom. Only downward: a folder of lib/ names the folders that it may use, anything else is an error.
 * Types count too, since a type from above ties a layer to it just as well.
 */
const layers = {
  base: [],
  wire: ['base'],
  stripe: ['base'],
  ring: ['base'],
  meta: ['base', 'wire', 'ring'],
  // Small files lie in the metadata store, and a write ends with the inode's new size: so chunk stands above meta.
  chunk: ['base', 'wire', 'stripe', 'meta'],
  share: ['base', 'wire', 'stripe', 'meta', 'chunk'],
  rpc: ['base', 'wire'],
  node: ['base', 'wire', 'stripe', 'ring', 'chunk', 'meta', 'share', 'rpc'],
  fs: ['base', 'wire', 'stripe', 'ring', 'chunk', 'meta', 'share', 'rpc', 'node'],
  cache: ['base', 'wire', 'stripe', 'chunk', 'meta', 'rpc', 'node', 'fs'],
  stage: ['base', 'wire', 'stripe', 'chunk', 'meta', 'rpc', 'node', 'fs', 'cache'],
  native: ['base', 'wire', 'stripe'],
}

/** The ports are types and tie nobody to anybody, so every layer may import them. */
function layerRule([folder, below]) {
  const allowed = [...[folder, ...below].map((name) => `^lib/${name}/`), '^lib/ports\\.ts$']
  return {
    name: `layer-${folder}`,
    comment: `lib/${folder} may import ${['the ports', ...below.map((name) => `lib/${name}`)].join(', ')} only.`,
    severity: 'error',
    from: { path: `^lib/${folder}/` },
    to: { path: '^(lib|mount|test|benchmarks|scripts)/', pathNot: allowed },
  }
}

module.exports = {
  forbidden: [
    ...Object.entries(layers).map(layerRule),
    {
      name: 'known-layer',
      comment: 'A folder of lib/ without a place among the layers has no rule.',
      severity: 'error',
      from: { path: '^lib/', pathNot: [`^lib/(${Object.keys(layers).join('|')})/`, '^lib/(index|ports)\\.ts$'] },
      to: {},
    },
    {
      name: 'ports-are-alone',
      comment: 'The ports are types that everyone shares; they import nothing.',
      severity: 'error',
      from: { path: '^lib/ports\\.ts$' },
      to: {},
    },
    {
      name: 'product-without-tests',
      comment: 'What is shipped imports neither tests nor benchmarks.',
      severity: 'error',
      from: { path: '^(lib|mount)/' },
      to: { path: '^(test|benchmarks|scripts)/' },
    },
    {
      name: 'library-without-mount',
      comment: 'lib/ is used by mount/, never the other way round.',
      severity: 'error',
      from: { path: '^lib/' },
      to: { path: '^mount/' },
    },
    {
      name: 'operating-system-only-in-native',
      comment: 'Only lib/native meets the operating system; the rest of lib/ takes ports.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/native/' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'addon-only-in-native',
      comment: 'Only lib/native imports the addon.',
      severity: 'error',
      from: { pathNot: '^lib/native/' },
      to: { path: '\\.node$' },
    },
    {
      name: 'production-packages',
      comment: 'What is shipped imports production packages only.',
      severity: 'error',
      from: { path: '^(lib|mount)/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    { name: 'no-cycles', severity: 'error', from: { path: '^(lib|mount)/' }, to: { circular: true } },
    {
      name: 'no-cycles-at-run-time',
      comment: 'The parts of a test may know the types of each other.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: ['node_modules'] },
    exclude: { path: ['^dist/', '^build/'] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    moduleSystems: ['es6'],
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.json', '.node'],
    },
  },
}
