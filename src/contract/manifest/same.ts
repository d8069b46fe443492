type Plain<T> = T extends object ? { readonly [K in keyof T]: Plain<T[K]> } : T;

/**
 * Whether two types are one and the same, but for `readonly`. For a schema and the type that it checks: TypeScript takes one for
 * the other although an optional field is missing in one of them.
 */
export type Same<A, B> =
  (<T>() => T extends Plain<A> ? 1 : 2) extends <T>() => T extends Plain<B> ? 1 : 2 ? true : false;
