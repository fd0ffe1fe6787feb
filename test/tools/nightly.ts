/** Whether tests are to run in their larger forms: `npm test -- --nightly`. */
export const isNightly = process.env.LOCALDNS_NIGHTLY === '1';
