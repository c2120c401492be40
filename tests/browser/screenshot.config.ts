// Takes docs/screenshot.png anew: playwright test --config tests/browser/screenshot.config.ts
import config from './playwright.config';

export default { ...config, testMatch: 'screenshot.ts' };
