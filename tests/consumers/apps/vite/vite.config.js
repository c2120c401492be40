export default {
  // A worker of modules, as the package's is.
  worker: { format: 'es' },
  logLevel: 'warn',
};
