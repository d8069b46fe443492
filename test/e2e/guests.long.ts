/**
 * The scenarios of test/guests: unmodified programs on hosts that are imagined at first. Over what the platform
 * chooses, and over network `nat`, where every connection is punched. Other kinds of NAT: test/suites/guests/kinds.ts.
 */
import { runScenario, scenarioNames } from '../suites/guests/scenario';

describe.each([{ network: 'flat' }, { network: 'nat', nat: 'port-preserving' }])('over $network', (over) => {
  test.each(scenarioNames())('%s', (name) => runScenario(name, over));
});
