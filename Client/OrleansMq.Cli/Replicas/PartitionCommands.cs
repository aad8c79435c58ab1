using System.CommandLine;
using System.Globalization;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Client;

namespace OrleansMq.Cli.Replicas;

/// <summary><c>omq partition ...</c>: assigns partitions to brokers.</summary>
internal static class PartitionCommands
{
    /// <summary>Creates the command.</summary>
    public static Command Create() => new OmqCommand("partition", "Moves partitions between the brokers of a cluster.",
        "omq partition reassign orders 0 --replicas 1,2,4", "omq partition list-moving")
    {
        Reassign(), ListMoving(), Cancel(),
    };

    private static OmqCommand Reassign()
    {
        var (topic, partition) = (BrokerCall.TopicArgument(), BrokerCall.PartitionArgument());
        var replicas = new Option<int[]>("--replicas")
        {
            Description = "The brokers that will hold it, the preferred leader first.",
            HelpName = "N,N,N",
            Required = true,
            CustomParser = result => ParseBrokers(result.Tokens[0].Value, result.AddError),
            Arity = ArgumentArity.ExactlyOne,
        };
        var command = new OmqCommand("reassign",
            "Moves a partition to other brokers: new replicas catch up and join, then the others leave. Returns when it has begun.",
            "omq partition reassign orders 0 --replicas 1,2,4")
        { topic, partition, replicas };
        BrokerCall.Show(command, (broker, parsed, cancellationToken) => broker.Administration.ReassignPartitionAsync(
            new TopicPartition(parsed.GetRequiredValue(topic), parsed.GetValue(partition)), parsed.GetRequiredValue(replicas),
            cancellationToken),
            HttpJson.Default.PartitionReassignment, moving => ReplicaTables.Moving([moving]));
        return command;
    }

    private static OmqCommand ListMoving()
    {
        var command = new OmqCommand("list-moving", "Lists the partitions that are being moved.", "omq partition list-moving");
        BrokerCall.Show(command, (broker, _, cancellationToken) => broker.Administration.ListReassignmentsAsync(cancellationToken),
            HttpJson.Default.IReadOnlyListPartitionReassignment, ReplicaTables.Moving);
        return command;
    }

    private static OmqCommand Cancel()
    {
        var (topic, partition) = (BrokerCall.TopicArgument(), BrokerCall.PartitionArgument());
        var command = new OmqCommand("cancel", "Cancels the move of a partition and restores its previous replicas.",
            "omq partition cancel orders 0")
        { topic, partition };
        BrokerCall.Tell(command, (broker, parsed, cancellationToken) => broker.Administration.CancelReassignmentAsync(
            new TopicPartition(parsed.GetRequiredValue(topic), parsed.GetValue(partition)), cancellationToken),
            parsed => $"Partition {parsed.GetValue(partition)} of topic {parsed.GetValue(topic)} stays where it was.");
        return command;
    }

    private static int[] ParseBrokers(string text, Action<string> addError)
    {
        var parts = text.Split(',', StringSplitOptions.TrimEntries);
        var numbers = new List<int>();
        foreach (var part in parts)
        {
            if (!int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
                addError($"--replicas '{text}': '{part}' is not a broker's number. Write them like --replicas 1,2,4, the preferred leader "
                    + "first.");
            else if (numbers.Contains(number))
                addError($"--replicas '{text}' names broker {number} twice; a broker holds a partition once.");
            else
                numbers.Add(number);
        }
        return [.. numbers];
    }
}
