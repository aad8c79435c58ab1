using System.CommandLine;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Records;
using OrleansMq.Cli.Replicas;
using OrleansMq.Client;

namespace OrleansMq.Cli.Queues;

/// <summary><c>omq queue handlers TOPIC QUEUE</c>: what consumers work at.</summary>
internal static class QueueHandlersCommand
{
    /// <summary>Creates the command.</summary>
    public static Command Create()
    {
        var max = new Option<int>("--max") { Description = "At most this many records of each partition, up to 1,000.", HelpName = "N",
            DefaultValueFactory = static _ => 10 }.AtLeast(1);
        var command = new OmqCommand("handlers",
            "Shows which records consumers of a queue have held for longest, and how often each failed.",
            "omq queue handlers orders mails", "omq queue handlers orders mails --max 100 --json | jq '.[] | select(.heldMs > 60000)'");
        var selection = new QueueSelection(command);
        command.Add(max);
        BrokerCall.Show(command, (broker, parsed, cancellationToken) =>
            ListAsync(broker, parsed, selection, parsed.GetValue(max), cancellationToken),
            QueueJson.Default.IReadOnlyListQueueHandlerDocument, QueueTables.Handlers);
        return command;
    }

    private static async ValueTask<IReadOnlyList<QueueHandlerDocument>> ListAsync(HttpBroker broker, ParseResult parsed,
        QueueSelection selection, int max, CancellationToken cancellationToken)
    {
        var handlers = new List<QueueHandlerDocument>();
        foreach (var queue in await selection.FindAsync(broker, parsed, cancellationToken).ConfigureAwait(false))
        {
            var partition = QueueSelection.PartitionOf(queue);
            handlers.AddRange((await broker.Queues.ListHandlersAsync(partition, queue.Name, max, cancellationToken).ConfigureAwait(false))
                .Select(handler => QueueHandlerDocument.Of(partition, handler)));
        }
        return [.. handlers.OrderBy(static handler => handler.IsWaiting).ThenByDescending(static handler => handler.HeldMs)];
    }
}
