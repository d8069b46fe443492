import type { IResource } from 'aws-cdk-lib';
import type * as ec2 from 'aws-cdk-lib/aws-ec2';
import type * as iam from 'aws-cdk-lib/aws-iam';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';

/** A cluster of hosts that appear to run and run only when something connects to them. */
export interface IImaginaryCluster extends IResource, ec2.IConnectable {
  /** The cluster's name. */
  readonly clusterName: string;

  /** The key that everything that joins the cluster must know. */
  readonly clusterKey: secretsmanager.ISecret;

  /** The seed's address and port, `address:port`: what joins the cluster connects there. */
  readonly seedEndpoint: string;

  /**
   * Lets a principal read the cluster key, which is what joining the cluster takes.
   *
   * @param grantee who may join, for example an EC2 instance's role
   */
  grantJoin(grantee: iam.IGrantable): iam.Grant;
}

/** What identifies a cluster that another app defines. */
export interface ImaginaryClusterAttributes {
  /** The cluster's name. */
  readonly clusterName: string;

  /** The cluster's key. */
  readonly clusterKey: secretsmanager.ISecret;

  /** The address of its seed. */
  readonly seedAddress: string;

  /**
   * The port of its seed.
   *
   * @default 9410
   */
  readonly seedPort?: number;

  /**
   * The security groups of its seed.
   *
   * @default - none: connections cannot be allowed through this reference
   */
  readonly securityGroups?: ec2.ISecurityGroup[];
}
