using System.CommandLine;
using OrleansMq.Api;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Client.Http;

namespace OrleansMq.Cli.Replicas;

/// <summary><c>omq leader elect ...</c>: which broker leads a partition.</summary>
internal static class LeaderCommands
{
    /// <summary>The command for the command line.</summary>
    public static Command Create() => new OmqCommand("leader", "Chooses which broker leads a partition.", "omq leader elect preferred")
    {
        new OmqCommand("elect", "Elects leaders.", "omq leader elect preferred --topic orders",
            "omq leader elect unclean orders 0 --accept-data-loss")
        {
            Preferred(), Unclean(),
        },
    };

    private static OmqCommand Preferred()
    {
        var topic = new Option<string>("--topic") { Description = "Only this topic's partitions.", HelpName = "NAME" };
        var partition = new Option<int?>("--partition") { Description = "Only this partition of the topic.", HelpName = "N" };
        var command = new OmqCommand("preferred", "Hands the leadership of partitions to their first replicas, where those are in sync: no "
            + "request fails that a retry does not mend.",
            "omq leader elect preferred", "omq leader elect preferred --topic orders --partition 0")
        { topic, partition };
        BrokerCall.Show(command, (broker, parsed, cancellationToken) =>
        {
            if (parsed.GetValue(partition) is not null && parsed.GetValue(topic) is null)
                throw CommandFailedException.Usage("--partition is that of a topic: name it by --topic.");
            return broker.Administration.ElectPreferredLeadersAsync(parsed.GetValue(topic), parsed.GetValue(partition), cancellationToken);
        }, HttpJson.Default.IReadOnlyListLeaderElection, ReplicaTables.Elections);
        return command;
    }

    private static OmqCommand Unclean()
    {
        var (topic, partition) = (BrokerCall.TopicArgument(), BrokerCall.PartitionArgument());
        var chosen = new Option<int?>("--broker") { Description = "Whose replica leads; without it the one that loses least, once all "
            + "in-sync replicas have answered.", HelpName = "N" };
        var accept = new Option<bool>("--accept-data-loss") { Description = "Has to be given: records that were acknowledged, and that "
            + "this replica lacks, are lost for good." };
        var command = new OmqCommand("unclean",
            "Makes a replica leader although it may lack acknowledged records. The last resort for a partition that nobody leads and "
            + "nobody may lead; bring its brokers back instead, where that is possible.",
            "omq leader elect unclean orders 0 --broker 2 --accept-data-loss")
        { topic, partition, chosen, accept };
        BrokerCall.Show<IReadOnlyList<LeaderElection>>(command, async (broker, parsed, cancellationToken) =>
        {
            var which = new TopicPartition(parsed.GetRequiredValue(topic), parsed.GetValue(partition));
            if (!parsed.GetValue(accept))
            {
                throw CommandFailedException.Usage($"An unclean election may lose acknowledged records of {which} for good. Bring back one "
                    + "of its brokers (omq topic describe "
                    + $"{which.Topic}), or say --accept-data-loss where that cannot be.");
            }
            return [await broker.Administration.ElectUncleanAsync(which, parsed.GetValue(chosen), cancellationToken).ConfigureAwait(false)];
        }, HttpJson.Default.IReadOnlyListLeaderElection, ReplicaTables.Elections);
        return command;
    }
}
