/**
 * Findings of policy checkers (cdk-nag's AwsSolutions rules) that are by design. They are acknowledged where they arise, so
 * that an app which checks itself does not have to find out why.
 */
import { Validations } from 'aws-cdk-lib';
import type { IConstruct } from 'constructs';

export function acknowledge(construct: IConstruct, reasons: { [rule: string]: string }): void {
  for (const [id, reason] of Object.entries(reasons)) Validations.of(construct).acknowledge({ id, reason });
}
