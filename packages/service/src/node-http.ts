/**
 * node:http by another door. An `import` of it reads every export, and behind one of them waits a whole WebSocket
 * client, which nobody here uses: it costs a third of a service's start-up.
 */
export const { METHODS, STATUS_CODES, ServerResponse, createServer } = process.getBuiltinModule('node:http');
