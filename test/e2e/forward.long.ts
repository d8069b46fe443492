/** `imaginary forward`, where connections are direct or relayed. Punched ones: forward.test.ts. */
import { EACH_TRANSPORT } from '../support/cluster';
import { forwardCases } from '../support/forward-cases';

describe.each(EACH_TRANSPORT.filter(([network]) => network !== 'nat'))('network: %s', forwardCases);
