/**
 * Props as JavaScript passes them: missing, or of another kind. The lists of props are complete by their types
 * (`Shape`), so that a new prop is tried here, too.
 */
import { Duration, Lazy } from 'aws-cdk-lib';
import { HostFunction, HostInstance, ImaginaryCluster, SeedNode, Service } from '../../../src';
import {
  ATTRIBUTES,
  CLUSTER,
  HOST_FUNCTION,
  HOST_GROUP,
  HOST_INSTANCE,
  HOST as HOST_PROPS,
  INSTANCE,
  type Rule,
  SEED_NODE,
  SERVICE,
  SERVICE_PROPS,
} from '../../../src/constructs/private/shape';
import { HOST, newCluster, newStack, only } from '../support';

interface Subject {
  readonly shape: Readonly<Record<string, Rule>>;
  /** The rest of what is required. */
  readonly base: () => object;
  readonly make: (props: any) => unknown;
}

let fixture = newCluster();
beforeAll(() => {
  fixture = newCluster();
});
let made = 0;
const id = () => `x${made++}`;
const SUBJECTS: Record<string, Subject> = {
  ImaginaryCluster: {
    shape: CLUSTER,
    base: () => ({}),
    make: (props) => new ImaginaryCluster(fixture.stack, id(), props),
  },
  'ImaginaryCluster.fromImaginaryClusterAttributes': {
    shape: ATTRIBUTES,
    base: () => ({ clusterName: 'shop', clusterKey: fixture.cluster.clusterKey, seedAddress: '192.0.2.1' }),
    make: (props) => ImaginaryCluster.fromImaginaryClusterAttributes(fixture.stack, id(), props),
  },
  'ImaginaryCluster.addHost': {
    shape: HOST_PROPS,
    base: () => HOST,
    make: (props) => fixture.cluster.addHost(id(), props),
  },
  'ImaginaryCluster.addHosts': {
    shape: HOST_GROUP,
    base: () => ({ ...HOST, count: 2 }),
    make: (props) => fixture.cluster.addHosts(id(), props),
  },
  HostFunction: {
    shape: HOST_FUNCTION,
    base: () => ({ ...HOST, cluster: fixture.cluster }),
    make: (props) => new HostFunction(fixture.stack, id(), props),
  },
  'ImaginaryCluster.addInstance': {
    shape: INSTANCE,
    base: () => ({}),
    make: (props) => fixture.cluster.addInstance(id(), props),
  },
  HostInstance: {
    shape: HOST_INSTANCE,
    base: () => ({ cluster: fixture.cluster }),
    make: (props) => new HostInstance(fixture.stack, id(), props),
  },
  'ImaginaryCluster.addService': {
    shape: SERVICE,
    base: () => ({ hosts: [fixture.cluster.addHost(id(), HOST)] }),
    make: (props) => fixture.cluster.addService(id(), props),
  },
  Service: {
    shape: SERVICE_PROPS,
    base: () => ({ hosts: [fixture.cluster.addHost(id(), HOST)], cluster: fixture.cluster }),
    make: (props) => new Service(fixture.stack, id(), props),
  },
  SeedNode: {
    shape: SEED_NODE,
    base: () => ({ cluster: fixture.cluster }),
    make: (props) => new SeedNode(fixture.stack, id(), props),
  },
};

/** Of every kind one; what a prop takes is left out by the test. */
const VALUES: unknown[] = ['text', 5, true, {}, [], [5], [{}], { a: 5 }, () => undefined, Symbol('s'), 5n, new Date()];
/** What a prop takes by its type, though not by its value: refused, too, by rules of their own, or harmless. */
const FITTING = (rule: Rule, value: unknown) => rule.fits(value);

const refusal = (act: () => unknown): Error => {
  try {
    act();
  } catch (error) {
    return error as Error;
  }
  throw new Error('it was not refused');
};

describe.each(Object.entries(SUBJECTS))('%s', (_, { shape, base, make }) => {
  test('the least that is required is accepted', () => {
    expect(() => make({ ...base() })).not.toThrow();
  });

  const required = Object.keys(shape).filter((name) => shape[name].required);
  if (required.length > 0) {
    test.each(required)('%s is missing', (name) => {
      for (const nothing of [undefined, null]) {
        const error = refusal(() => make({ ...base(), [name]: nothing }));
        expect(error.message).toMatch(
          new RegExp(`^Shop.*: ${name}\\b.* is missing; required: ${escaped(shape[name].allowed)}$`),
        );
      }
    });
    test('all props are missing', () => {
      for (const props of [undefined, null, 5, 'props', []]) {
        expect(refusal(() => make(props)).message).toMatch(
          new RegExp(`^Shop.*: the props.* are .*; allowed: an object with ${required.join(', ')}$`),
        );
      }
    });
  }

  test.each(Object.keys(shape))('%s of another kind', (name) => {
    const wrong = VALUES.filter((value) => !FITTING(shape[name], value));
    expect(wrong.length).toBeGreaterThan(5);
    for (const value of wrong) {
      const error = refusal(() => make({ ...base(), [name]: value }));
      expect(error).not.toBeInstanceOf(TypeError);
      expect(error.message).toMatch(
        new RegExp(`^Shop.*: ${name}\\b.* is .+; allowed: ${escaped(shape[name].allowed)}$`, 's'),
      );
    }
  });
});

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

test.each([
  [
    'code',
    undefined,
    "code of host 'api' is missing; required: a lambda.Code, like lambda.Code.fromAsset('hosts/web')",
  ],
  ['command', undefined, "command of host 'api' is missing; required: an array of strings, like ['node', 'server.js']"],
  ['command', 'node server.js', 'command of host \'api\' is "node server.js"; allowed: an array of strings'],
  ['command', ['node', 5], 'command of host \'api\' is ["node",5]; allowed: an array of strings'],
  ['environment', 'A=b', 'environment of host \'api\' is "A=b"; allowed: an object of names and strings'],
  ['environment', { PORT: 80 }, 'environment of host \'api\' is {"PORT":80}; allowed: an object of names and strings'],
])('%s: %j', (prop, value, message) => {
  const { cluster } = newCluster();
  expect(() => cluster.addHost('api', { ...HOST, [prop]: value } as any)).toThrow(message);
});

test.each([undefined, null, 5, {}, []])('a name that is %j', (name) => {
  const { cluster } = newCluster();
  for (const act of [
    () => cluster.addHost(name as any, HOST),
    () => cluster.addHosts(name as any, { ...HOST, count: 1 }),
  ]) {
    expect(act).toThrow(/^Shop\/Cluster: (the name of a host|the prefix of a group of hosts) is .*; allowed: 1-63/);
  }
});

test.each([undefined, null, 5, {}])('a variable that is %j', (value) => {
  const host = newCluster().cluster.addHost('api', HOST);
  expect(() => host.addEnvironment('PORT', value as any)).toThrow(
    /the value of 'PORT' in the environment is .*; allowed: a string/,
  );
  expect(() => host.addEnvironment(value as any, 'x')).toThrow(/the name in the environment is .*; allowed: a string/);
});

test('values known only at deployment pass for what they will be', () => {
  const { stack, cluster } = newCluster();
  cluster.addHost('api', { ...HOST, environment: { A: Lazy.string({ produce: () => 'b' }) } });
  expect(only(stack, 'AWS::Lambda::Function').Properties.Environment.Variables).toEqual({ A: 'b' });
});

test.each([
  '0.0.0.0/16',
  '127.0.0.0/16',
  '127.1.0.0/28',
  '169.254.0.0/16',
  '169.254.4.0/24',
  '224.0.0.0/16',
  '239.1.0.0/16',
  '240.0.0.0/16',
  '255.255.0.0/16',
])('cidr %s is nobody’s', (cidr) => {
  expect(() => newCluster({ cidr })).toThrow(
    new RegExp(`cidr is '${cidr}', which is in .*; choose another, like '100.64.0.0/16'`),
  );
});

test.each(['idleTimeout', 'releaseTimeout'] as const)('%s of more than a year', (prop) => {
  const { cluster } = newCluster();
  expect(() => cluster.addHost('api', { ...HOST, [prop]: Duration.days(366) })).toThrow(
    `${prop} is 31622400 s; allowed: 0.1 s to 31536000 s`,
  );
});

test('props that would be ignored', () => {
  const { cluster } = newCluster();
  const { logGroup } = cluster.addHost('first', HOST);
  expect(() => cluster.addHost('api', { ...HOST, logGroup, logRetention: 7 })).toThrow(
    "logRetention is set beside 'logGroup'",
  );
});

test.each([1, 900, 901, 1_800])('a timeout of %i s', (seconds) => {
  const { stack, cluster } = newCluster();
  cluster.addHost('api', { ...HOST, timeout: Duration.seconds(seconds) });
  expect(only(stack, 'AWS::Lambda::Function').Properties.Timeout).toBe(seconds);
});

test('concurrency is reserved where the host says so, or else the cluster', () => {
  const reserved = (of?: boolean, all?: boolean) => {
    const { stack, cluster } = newCluster({ reserveConcurrency: all });
    cluster.addHost('api', { ...HOST, reserveConcurrency: of });
    return only(stack, 'AWS::Lambda::Function').Properties.ReservedConcurrentExecutions;
  };
  expect([reserved(), reserved(true), reserved(false)]).toEqual([undefined, 1, undefined]);
  expect([reserved(undefined, true), reserved(false, true), reserved(true, false)]).toEqual([1, undefined, 1]);
  expect(new ImaginaryCluster(newStack(), 'Cluster').reserveConcurrency).toBe(false);
});
