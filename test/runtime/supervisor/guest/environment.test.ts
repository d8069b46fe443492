import { guestEnvironment, underShim } from '../../../../src/runtime/supervisor/guest/environment';

const lambda = {
  PATH: '/var/lang/bin:/usr/bin:/bin',
  LANG: 'en_US.UTF-8',
  AWS_REGION: 'eu-west-1',
  AWS_LAMBDA_RUNTIME_API: '127.0.0.1:9001',
  AWS_ACCESS_KEY_ID: 'AKIA',
  AWS_SECRET_ACCESS_KEY: 'secret',
  AWS_SESSION_TOKEN: 'token',
  _HANDLER: 'handler.handler',
  LD_PRELOAD: '/opt/other.so',
};

test('guests get nothing of the function but what is harmless', () => {
  expect(guestEnvironment('web', {}, lambda)).toEqual({
    PATH: '/var/task/bin:/var/task:/var/lang/bin:/usr/bin:/bin:/usr/local/bin:/opt/bin:/usr/local/sbin:/usr/sbin:/sbin',
    HOME: '/tmp',
    HOSTNAME: 'web',
    LANG: 'en_US.UTF-8',
    AWS_REGION: 'eu-west-1',
  });
});

test('a host declares its own, and what else it wants of the function', () => {
  const own = { HOME: '/tmp/home', IMAGINARY_PASS_ENV: 'AWS_SESSION_*, AWS_ACCESS_KEY_ID' };
  const environment = guestEnvironment('web', own, lambda);
  expect(environment).toMatchObject({ HOME: '/tmp/home', AWS_ACCESS_KEY_ID: 'AKIA', AWS_SESSION_TOKEN: 'token' });
  expect(environment).not.toHaveProperty('AWS_SECRET_ACCESS_KEY');
  expect(environment).not.toHaveProperty('IMAGINARY_PASS_ENV');
});

test('the shim comes before what a guest preloads itself, once', () => {
  const shim = '/opt/imaginary/shim-glibc.so';
  expect(underShim({ LD_PRELOAD: `/lib/jemalloc.so ${shim}`, A: undefined }, '/tmp/.imaginary', shim)).toEqual({
    LD_PRELOAD: `${shim}:/lib/jemalloc.so`,
    IMAGINARY_DIR: '/tmp/.imaginary',
  });
});
