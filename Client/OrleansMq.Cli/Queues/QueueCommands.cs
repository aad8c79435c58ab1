using System.CommandLine;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Replicas;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;

namespace OrleansMq.Cli.Queues;

/// <summary><c>omq queue ...</c>: create, list, describe, alter, peek, handlers, consume, reset, purge, delete.</summary>
internal static class QueueCommands
{
    /// <summary>Creates the command.</summary>
    public static Command Create() =>
        new OmqCommand("queue", "Creates and shows queues, which deliver a topic's records one by one; consumes them.",
            "omq queue create orders mails", "omq queue describe orders mails", "omq queue consume orders mails --max 10")
        {
            QueueCreateCommand.Create(), List(), Describe(), QueueAlterCommand.Create(), QueuePeekCommand.Create(),
            QueueHandlersCommand.Create(), QueueConsumeCommand.Create(), QueueResetCommand.Create(), Purge(), Delete(),
        };

    /// <summary>Sets up a command that changes the selected queues and shows them.</summary>
    /// <param name="command">The command.</param>
    /// <param name="selection">Which queues.</param>
    /// <param name="done">What was done, as the beginning of a sentence.</param>
    /// <param name="parse">Parses the command's own options, and returns what changes one queue.</param>
    public static void Change(Command command, QueueSelection selection, string done,
        Func<ParseResult, Func<HttpBroker, QueueDocument, CancellationToken, ValueTask<QueueDocument>>> parse)
    {
        var (server, json) = (ServerOption.AddTo(command), JsonOption.AddTo(command));
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var change = parse(parsed);
            using var broker = server.Connect(parsed);
            var changed = new List<QueueDocument>();
            foreach (var queue in await selection.FindAsync(broker, parsed, cancellationToken).ConfigureAwait(false))
                changed.Add(await change(broker, queue, cancellationToken).ConfigureAwait(false));
            if (parsed.GetValue(json))
                Output.WriteJson(changed, QueueJson.Default.IReadOnlyListQueueDocument);
            else
                Output.WriteLine($"{done} queue {selection.Name(parsed)} of topic {selection.Topic(parsed)}, "
                    + $"{(changed.Count == 1 ? $"partition {changed[0].Partition}" : $"{changed.Count} partitions")}.");
        });
    }

    private static OmqCommand List()
    {
        var topic = BrokerCall.TopicArgument();
        var command = new OmqCommand("list", "Lists the queues of a topic's partitions.", "omq queue list orders",
            "omq queue list orders --json | jq -r '.[].name' | sort -u") { topic };
        BrokerCall.Show(command,
            (broker, parsed, cancellationToken) => broker.ListQueuesAsync(parsed.GetRequiredValue(topic), cancellationToken),
            QueueJson.Default.IReadOnlyListQueueDocument, QueueTables.List);
        return command;
    }

    private static OmqCommand Describe()
    {
        var command = new OmqCommand("describe", "Shows what is in a queue, what its consumers hold, and how it delivers.",
            "omq queue describe orders mails", "omq queue describe orders mails --json | jq '[.[].unsettled] | add'");
        var selection = new QueueSelection(command);
        BrokerCall.Show(command, (broker, parsed, cancellationToken) => DescribeAsync(broker, parsed, selection, cancellationToken),
            QueueJson.Default.IReadOnlyListQueueDocument, QueueTables.Describe);
        return command;
    }

    private static async ValueTask<IReadOnlyList<QueueDocument>> DescribeAsync(HttpBroker broker, ParseResult parsed,
        QueueSelection selection, CancellationToken cancellationToken)
    {
        var described = new List<QueueDocument>();
        foreach (var queue in await selection.FindAsync(broker, parsed, cancellationToken).ConfigureAwait(false))
            described.Add(await broker.DescribeQueueAsync(QueueSelection.PartitionOf(queue), queue.Name, cancellationToken)
                .ConfigureAwait(false));
        return described;
    }

    private static OmqCommand Purge()
    {
        var command = new OmqCommand("purge",
            "Settles everything that is in a queue now, except what consumers hold. The topic's records stay.",
            "omq queue purge orders mails");
        Change(command, new QueueSelection(command), "Purged", static _ => async (broker, queue, cancellationToken) =>
        {
            var partition = QueueSelection.PartitionOf(queue);
            await broker.Queues.PurgeAsync(partition, queue.Name, cancellationToken: cancellationToken).ConfigureAwait(false);
            return QueueDocument.Of(partition,
                await broker.Queues.DescribeAsync(partition, queue.Name, cancellationToken).ConfigureAwait(false));
        });
        return command;
    }

    private static OmqCommand Delete()
    {
        var command = new OmqCommand("delete",
            "Deletes a queue with its state; its consumers are detached. This cannot be undone. The topic's records stay.",
            "omq queue delete orders mails");
        Change(command, new QueueSelection(command), "Deleted", static _ => async (broker, queue, cancellationToken) =>
        {
            await broker.Queues.DeleteAsync(QueueSelection.PartitionOf(queue), queue.Name, queue.Id, cancellationToken)
                .ConfigureAwait(false);
            return queue;
        });
        return command;
    }
}
