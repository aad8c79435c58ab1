using System.CommandLine;
using OrleansMq.Api;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Client;

namespace OrleansMq.Cli.Replicas;

/// <summary><c>omq leader elect ...</c>: elects the leader of a partition.</summary>
internal static class LeaderCommands
{
    /// <summary>Creates the command.</summary>
    public static Command Create() => new OmqCommand("leader", "Elects the leaders of partitions.", "omq leader elect preferred")
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
        var command = new OmqCommand("preferred", "Hands leadership over to the first replica of each partition, if it is in sync. Clients "
            + "only have to retry.",
            "omq leader elect preferred", "omq leader elect preferred --topic orders --partition 0")
        { topic, partition };
        BrokerCall.Show(command, (broker, parsed, cancellationToken) =>
        {
            if (parsed.GetValue(partition) is not null && parsed.GetValue(topic) is null)
                throw CommandFailedException.Usage("--partition needs --topic NAME.");
            return broker.Administration.ElectPreferredLeadersAsync(parsed.GetValue(topic), parsed.GetValue(partition), cancellationToken);
        }, HttpJson.Default.IReadOnlyListLeaderElection, ReplicaTables.Elections);
        return command;
    }

    private static OmqCommand Unclean()
    {
        var (topic, partition) = (BrokerCall.TopicArgument(), BrokerCall.PartitionArgument());
        var chosen = new Option<int?>("--broker") { Description = "The broker whose replica becomes leader; by default "
            + "the one that loses least, once all in-sync replicas have answered.", HelpName = "N" };
        var accept = new Option<bool>("--accept-data-loss") { Description = "Required: acknowledged records that "
            + "this replica lacks are lost permanently." };
        var command = new OmqCommand("unclean",
            "Makes a replica leader although it may lack acknowledged records. The last resort for a partition without a leader and "
            + "without an eligible replica. If possible, bring its brokers back instead.",
            "omq leader elect unclean orders 0 --broker 2 --accept-data-loss")
        { topic, partition, chosen, accept };
        BrokerCall.Show<IReadOnlyList<LeaderElection>>(command, async (broker, parsed, cancellationToken) =>
        {
            var which = new TopicPartition(parsed.GetRequiredValue(topic), parsed.GetValue(partition));
            if (!parsed.GetValue(accept))
            {
                throw CommandFailedException.Usage($"An unclean election may lose acknowledged records of {which} permanently. Bring back "
                    + $"one of its brokers (omq topic describe {which.Topic}), or give --accept-data-loss if that is impossible.");
            }
            return [await broker.Administration.ElectUncleanAsync(which, parsed.GetValue(chosen), cancellationToken).ConfigureAwait(false)];
        }, HttpJson.Default.IReadOnlyListLeaderElection, ReplicaTables.Elections);
        return command;
    }
}
