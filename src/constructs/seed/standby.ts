/** What a second seed needs besides an instance: the table of the lease, and a subnet in another availability zone. */
import { Annotations, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import { acknowledge } from '../private/acknowledge';

/** Block of a VPC that was made for the seed. */
export const OWN_VPC = '10.94.0.0/24';
/**
 * Block of the standby's subnet in it, added to the VPC when there is a standby: a VPC of another block, or with other
 * subnets, would be a new VPC for the seed that runs already.
 */
const STANDBY_BLOCK = '10.94.1.0/24';

/** What is in it says which seed serves at this moment, and is worth nothing afterwards. */
export function leaseTable(scope: Construct, seed: iam.IRole): dynamodb.ITable {
  const table = new dynamodb.Table(scope, 'LeaseTable', {
    partitionKey: { name: 'cluster', type: dynamodb.AttributeType.STRING },
    billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
    removalPolicy: RemovalPolicy.DESTROY,
  });
  acknowledge(table, {
    'AwsSolutions-DDB3': 'The lease of the moment is the only item: an earlier one must not come back.',
  });
  seed.addToPrincipalPolicy(
    new iam.PolicyStatement({
      sid: 'HoldLease',
      actions: ['dynamodb:GetItem', 'dynamodb:PutItem'],
      resources: [table.tableArn],
    }),
  );
  return table;
}

/** The first subnet of another availability zone than that of the first seed. */
export function standbySubnet(scope: Construct, vpc: ec2.IVpc, selection: ec2.SubnetSelection): ec2.ISubnet {
  const [first, ...others] = vpc.selectSubnets(selection).subnets;
  const elsewhere = others.find(({ availabilityZone }) => availabilityZone !== first.availabilityZone);
  if (!elsewhere) {
    Annotations.of(scope).addWarningV2(
      'cdk-imaginary-machines:one-zone',
      'both seeds are in one availability zone, and fail with it; let vpcSubnets have subnets of two',
    );
  }
  return elsewhere ?? first;
}

/** In a VPC that was made for the seed, and has one subnet. */
export function ownStandbySubnet(scope: Construct, vpc: ec2.IVpc): ec2.ISubnet {
  const block = new ec2.CfnVPCCidrBlock(scope, 'StandbyBlock', { vpcId: vpc.vpcId, cidrBlock: STANDBY_BLOCK });
  // The VPC has the first one.
  const [only, second = only] = Stack.of(scope).availabilityZones;
  const subnet = new ec2.PublicSubnet(scope, 'StandbySubnet', {
    vpcId: vpc.vpcId,
    cidrBlock: STANDBY_BLOCK,
    availabilityZone: second,
    mapPublicIpOnLaunch: true,
  });
  subnet.node.addDependency(block);
  subnet.addDefaultInternetRoute((vpc as ec2.Vpc).internetGatewayId!, vpc.internetConnectivityEstablished);
  // It is one like the other: whoever selects the VPC's public subnets finds it.
  vpc.publicSubnets.push(subnet);
  return subnet;
}
